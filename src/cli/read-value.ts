/**
 * Where a secret value comes from: never from an argument, and never from a stdin that was not asked for. Inside
 * `while read n; do mcpvault rotate "$n"; done` an unasked read would swallow the list and store it as a secret.
 *
 * @module
 */

import { closeSync, openSync, readSync } from 'node:fs'
import { isSystemError, VaultError } from '../errors.js'
import { generateValue } from '../rotation/generated-value.js'
import { Secret } from '../secret.js'
import type { Context } from './context.js'
import { absolutePath } from './directories.js'
import { type Flag, type GlobalOptions, wholeNumber } from './flags.js'

/** The members that {@link VALUE_FLAGS} make. */
export interface ValueOptions {
  readonly generate: boolean
  readonly length?: number
  readonly stdin: boolean
  readonly fromFile?: string
  readonly raw: boolean
  readonly allowEmpty: boolean
}

/** The flags of the commands that take a value. */
export const VALUE_FLAGS: readonly Flag[] = [
  { key: 'generate', long: '--generate', help: 'make a random value of letters and digits' },
  { key: 'length', long: '--length', value: 'N', help: 'characters of --generate (48)', parse: wholeNumber(16, 4096) },
  { key: 'stdin', long: '--stdin', help: 'read the value from stdin' },
  { key: 'fromFile', long: '--from-file', value: 'FILE', help: 'read the value from a file, "-" for stdin' },
  { key: 'raw', long: '--raw', help: 'take the bytes exactly as they are, newline and white space included' },
  { key: 'allowEmpty', long: '--allow-empty', help: 'take an empty value' },
]

/** Why a command takes no value as an argument, for `refuseExtra` and `refuseFlags`. */
export const NO_VALUE_ARGUMENT =
  'cannot take a value from an argument: other users can read the command line, and the shell keeps it'

/** The longest value, in bytes. */
export const MAX_VALUE_BYTES = 1024 * 1024

const DEFAULT_LENGTH = 48
const CHUNK_BYTES = 256 * 1024

/**
 * Reads a value from the one source that was asked for, or asks on the terminal, twice.
 *
 * @param subject What is asked for on a terminal: `value of "scavio_api_key"`.
 * @throws {VaultError} USAGE if no source or several were given, INPUT if the value cannot be read, is empty, holds a NUL
 * or has white space around it without `raw`, CANCELLED.
 */
export async function readValue(
  subject: string,
  options: ValueOptions & Pick<GlobalOptions, 'input'>,
  context: Context,
): Promise<Secret> {
  const source = chooseSource(options, context)
  if (source === 'generate') return generateValue(options.length ?? DEFAULT_LENGTH, context)
  return checkValue(await readSource(source, { subject, options, context }), options)
}

/** Whether questions may be asked: on a terminal where they can be seen (stderr) and answered (stdin). */
export function canAsk(options: Pick<GlobalOptions, 'input'>, { stdin, stderr }: Context): boolean {
  return options.input && stdin.isTerminal && stderr.isTerminal
}

/**
 * Asks for a secret twice, without echo.
 *
 * @throws {VaultError} INPUT if the two answers differ, CANCELLED.
 */
export async function askTwice(subject: string, context: Context): Promise<Buffer> {
  const first = await context.prompt.hidden(`${subject}:`)
  if (/[\x00-\x1f\x7f]/.test(first)) {
    throw new VaultError('INPUT', `cannot take the ${subject}: a control character was typed`, {
      hints: ['a value that really holds one comes from --stdin or --from-file FILE'],
    })
  }
  const second = await context.prompt.hidden(`${subject}, once more:`)
  if (first !== second) throw new VaultError('INPUT', `cannot take the ${subject}: the two answers differ`)
  return Buffer.from(first, 'utf8')
}

/** Whether a value source was named by a flag. */
export function hasValueSource({ generate, stdin, fromFile }: ValueOptions): boolean {
  return generate || stdin || fromFile !== undefined
}

type Source = 'generate' | 'stdin' | 'file' | 'prompt'

/** Decides where a value is to come from, without reading it yet. @throws {VaultError} USAGE as {@link readValue} */
export function chooseSource(options: ValueOptions & Pick<GlobalOptions, 'input'>, context: Context): Source {
  const { generate, length, stdin, fromFile } = options
  const asked = [generate, stdin, fromFile !== undefined].filter(Boolean).length
  if (asked > 1) {
    throw new VaultError('USAGE', 'cannot read a value: give only one of --generate, --stdin and --from-file')
  }
  if (length !== undefined && !generate) throw new VaultError('USAGE', 'cannot use --length: it belongs to --generate')
  if (generate) return 'generate'
  if (stdin || fromFile === '-') return 'stdin'
  if (fromFile !== undefined) return 'file'
  if (canAsk(options, context)) return 'prompt'
  throw new VaultError('USAGE', 'cannot read a value: no source was given and there is no terminal to ask on', {
    hints: ['give one of --stdin, --from-file FILE and --generate'],
  })
}

interface Reading {
  readonly subject: string
  readonly options: ValueOptions
  readonly context: Context
}

async function readSource(source: Source, { subject, options, context }: Reading): Promise<Buffer> {
  if (source === 'prompt') return askTwice(subject, context)
  // The newline that will be stripped does not count.
  const maxBytes = MAX_VALUE_BYTES + 2
  if (source === 'stdin') return context.stdin.readAll(maxBytes)
  return readFileOrPipe(absolutePath(options.fromFile ?? '', context), maxBytes, 'value')
}

/**
 * Reads a file of secrets to its end. A FIFO is as good as a file: `--from-file <(command)` is how shells hand over what a
 * command prints.
 *
 * @param what What is read, for messages: `value`.
 * @throws {VaultError} INPUT if it cannot be read or is longer than `maxBytes`.
 */
export function readFileOrPipe(path: string, maxBytes: number, what: string): Buffer {
  const chunks: Buffer[] = []
  let length = 0
  try {
    const fd = openSync(path, 'r')
    try {
      for (let count = -1; count !== 0 && length <= maxBytes; length += count) {
        const chunk = Buffer.alloc(CHUNK_BYTES)
        count = readSync(fd, chunk)
        chunks.push(chunk.subarray(0, count))
      }
    } finally {
      closeSync(fd)
    }
    if (length > maxBytes) {
      const most = `${Math.floor(maxBytes / MAX_VALUE_BYTES)} MiB`
      throw new VaultError('INPUT', `cannot read the ${what} from "${path}": it is longer than ${most}`)
    }
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof VaultError) throw error
    throw new VaultError('INPUT', `cannot read the ${what} from "${path}": ${fileReason(error)}`, { cause: error })
  } finally {
    for (const chunk of chunks) chunk.fill(0)
  }
}

function fileReason(error: unknown): string {
  if (isSystemError(error, 'ENOENT')) return 'there is no such file'
  if (isSystemError(error, 'EISDIR')) return 'it is a directory'
  return isSystemError(error, 'EACCES', 'EPERM') ? 'permission denied' : 'the system refused'
}

function checkValue(bytes: Buffer, { raw, allowEmpty }: ValueOptions): Secret {
  const value = raw ? bytes : stripNewline(bytes)
  if (value.length > MAX_VALUE_BYTES) throw tooLong()
  if (value.length === 0 && !allowEmpty) {
    throw new VaultError('INPUT', 'cannot take the value: it is empty', { hints: ['--allow-empty takes it'] })
  }
  if (value.includes(0)) throw new VaultError('INPUT', 'cannot take the value: it holds a NUL byte')
  if (!raw && (isSpace(value[0]) || isSpace(value[value.length - 1]))) {
    throw new VaultError('INPUT', 'cannot take the value: it begins or ends with white space', {
      hints: ['--raw takes it as it is'],
    })
  }
  return new Secret(value)
}

/** Strips exactly one `\n` or `\r\n` from the end. */
function stripNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1)
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d)
}

function tooLong(): VaultError {
  return new VaultError('INPUT', 'cannot take the value: it is longer than 1 MiB')
}
