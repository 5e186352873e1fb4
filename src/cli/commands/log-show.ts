import type { Command } from 'commander'
import { readBackward, readForward } from '../../log/read.js'
import { type LogRecord, recordName } from '../../log/record.js'
import { readLog } from '../../rotation/ages.js'
import type { Reader } from '../../storage/store.js'
import { missingRecords } from '../../vault/outbox.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, wholeNumber } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { visibleJson } from '../visible.js'

/** Options of `log show`. */
export interface LogShowOptions extends GlobalOptions {
  readonly name?: string
  readonly limit?: number
}

const BLOCK_CHARACTERS = 65_536

const LOG_SHOW: CommandShape<LogShowOptions> = {
  name: 'log show',
  positionals: [{ key: 'name', arity: 'optional', help: 'only the records of this credential' }],
  flags: [
    {
      key: 'limit',
      long: '--limit',
      short: '-n',
      value: 'N',
      help: 'the newest N records (all)',
      parse: wholeNumber(1, 1_000_000),
    },
  ],
  examples: [
    ['the whole log, oldest first, as JSON', 'mcpvault log show'],
    ['the last five records of one credential', 'mcpvault log show scavio_api_key -n 5'],
  ],
}

/** Registers `log show`. */
export function addLogShowCommand(parent: Command, context: Context, run = runLogShow): void {
  addCommand(parent, LOG_SHOW, (options) => run(options, context))
}

/** Prints the log as one JSON array, a record a line, whatever layout or torn end the file has. */
export async function runLogShow(options: LogShowOptions, context: Context): Promise<void> {
  const { vault, access } = await openForReading(options, context, 'if-there')
  const pending = missingRecords(vault.logAnchor?.pending ?? [], access.store)
  readLog(access, (reader) => {
    if (options.limit !== undefined) print(newest(reader, pending, options), context)
    else {
      // Once in vain: a log that is damaged farther on must not leave half an array on stdout.
      if (reader !== undefined && reader.size > BLOCK_CHARACTERS) for (const _ of readForward(reader));
      print(select(all(reader, pending), options), context)
    }
  })
}

function* all(reader: Reader | undefined, pending: readonly LogRecord[]): Generator<LogRecord> {
  if (reader !== undefined) yield* readForward(reader)
  yield* pending
}

function newest(
  reader: Reader | undefined,
  pending: readonly LogRecord[],
  options: LogShowOptions,
): readonly LogRecord[] {
  const taken: LogRecord[] = []
  for (const record of select(allBackward(reader, pending), options)) {
    if (taken.push(record) === options.limit) break
  }
  return taken.reverse()
}

function* allBackward(reader: Reader | undefined, pending: readonly LogRecord[]): Generator<LogRecord> {
  yield* pending.toReversed()
  if (reader !== undefined) yield* readBackward(reader)
}

function* select(records: Iterable<LogRecord>, { name }: LogShowOptions): Generator<LogRecord> {
  for (const record of records) {
    if (name === undefined || recordName(record) === name || record.from === name) yield record
  }
}

function print(records: Iterable<LogRecord>, context: Context): void {
  let text = '[\n'
  let joint = ''
  for (const record of records) {
    text += `${joint}${visibleJson(record)}\n`
    joint = ','
    if (text.length > BLOCK_CHARACTERS) {
      context.stdout.write(text)
      text = ''
    }
  }
  context.stdout.write(`${text}]\n`)
}
