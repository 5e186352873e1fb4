import type { Command } from 'commander'
import { readForward } from '../../log/read.js'
import { type LogRecord, recordName } from '../../log/record.js'
import { readLog } from '../../rotation/ages.js'
import type { Reader } from '../../storage/store.js'
import { missingRecords } from '../../vault/change.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, wholeNumber } from '../flags.js'
import { openForReading } from '../open-vault.js'

/** Options of `log show`. */
export interface LogShowOptions extends GlobalOptions {
  readonly name?: string
  readonly limit?: number
}

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
  readLog(access, (reader) => print(select(allRecords(reader, pending), options), context))
}

function* allRecords(reader: Reader | undefined, pending: readonly LogRecord[]): Generator<LogRecord> {
  if (reader !== undefined) yield* readForward(reader)
  yield* pending
}

function* select(records: Iterable<LogRecord>, { name, limit }: LogShowOptions): Generator<LogRecord> {
  const newest: LogRecord[] = []
  for (const record of records) {
    if (name !== undefined && recordName(record) !== name) continue
    if (limit === undefined) yield record
    else if (newest.push(record) > limit) newest.shift()
  }
  yield* newest
}

function print(records: Iterable<LogRecord>, context: Context): void {
  let text = '[\n'
  let joint = ''
  for (const record of records) {
    text += `${joint}${JSON.stringify(record)}\n`
    joint = ','
    if (text.length > 65_536) {
      context.stdout.write(text)
      text = ''
    }
  }
  context.stdout.write(`${text}]\n`)
}
