import { isUtf8 } from 'node:buffer'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { parseDotenv } from './dotenv.js'
import type { ImportedValue } from './import.js'
import type { VaultKey } from './key.js'
import { codecOf, isJsonObject, scanMembers, type TutorialMember } from './tutorial-format.js'
import { TutorialVault } from './tutorial-vault.js'
import { MAX_VALUE_BYTES } from './vault.js'

/** What a file can be imported as. */
export type SourceKind = 'env' | 'json' | 'vault'

/** How a file to import is read. */
export interface SourceOptions {
  /** The file, for messages. */
  readonly label: string
  /** Overrides what the content is recognised as. */
  readonly kind: SourceKind | undefined
  /** Gives the key of a tutorial vault; not called for anything else. */
  readonly findKey: () => VaultKey
  /** Gives the dates that the log beside a tutorial vault has, in milliseconds since the epoch. */
  readonly findDates: (names: readonly string[]) => ReadonlyMap<string, number>
  readonly allowEmpty: boolean
  /** Put before every name. */
  readonly prefix: string
}

/** A file taken in. */
export interface ImportSource {
  readonly kind: SourceKind
  readonly values: readonly ImportedValue[]
}

/**
 * Reads the values out of a .env file, a JSON object of strings, or a tutorial vault, recognised by content: an object
 * with a value that is encrypted as the tutorials do it is a vault.
 *
 * @throws {VaultError} INPUT naming the line or member that is at fault, never a value; for a vault also DAMAGED, NO_KEY
 * and WRONG_KEY.
 */
export function readImportSource(bytes: Buffer, options: SourceOptions): ImportSource {
  const { label } = options
  if (!isUtf8(bytes)) throw new VaultError('INPUT', `cannot import "${label}": it is not UTF-8 text`)
  const text = bytes.toString('utf8')
  const kind = options.kind ?? recognise(text)
  if (kind === 'vault') return { kind, values: readVaultValues(bytes, options) }
  const entries = kind === 'env' ? readEnv(text, label) : readJson(text, label)
  return { kind, values: entries.map((entry) => toValue(entry, options)) }
}

/** A value in plain text. */
interface PlainEntry {
  readonly name: string
  readonly text: string
  readonly line?: number
}

function recognise(text: string): SourceKind {
  if (!/^\uFEFF?\s*[{[]/.test(text)) return 'env'
  return isJsonObject(text) && [...scanMembers(text)].some(({ text: value }) => codecOf(value) !== undefined)
    ? 'vault'
    : 'json'
}

function readEnv(text: string, label: string): readonly PlainEntry[] {
  try {
    return parseDotenv(text)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    const why = error.message.replace(/^cannot read /, '')
    throw new VaultError('INPUT', `cannot import "${label}": ${why}`, { hints: error.hints })
  }
}

function readJson(text: string, label: string): readonly PlainEntry[] {
  const refuse = (why: string, ...hints: readonly string[]): VaultError =>
    new VaultError('INPUT', `cannot import "${label}": ${why}`, { hints })
  if (/^\s*\[\s*"mcpvault\//.test(text)) {
    throw refuse('it is a native vault', `mcpvault export --vault "${label}" | mcpvault import -`)
  }
  if (!isJsonObject(text)) throw refuse(`it is no JSON object${syntaxErrorLine(text)}`)
  const entries = new Map<string, PlainEntry>()
  for (const member of scanMembers(text)) {
    if (member.text === undefined) throw refuse(`"${pathOf(text, member)}" is not a string`)
    if (entries.has(member.name)) throw refuse(`"${member.name}" stands in it twice`)
    entries.set(member.name, { name: member.name, text: member.text })
  }
  return [...entries.values()]
}

/** Where JSON ends to be JSON, where the engine says; its message quotes the text, so nothing else of it is used. */
function syntaxErrorLine(text: string): string {
  try {
    JSON.parse(text)
    return ''
  } catch (error) {
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1]
    return position === undefined ? '' : ` (line ${text.slice(0, Number(position)).split('\n').length})`
  }
}

/** The way to the first thing within a member that is not an object. */
function pathOf(text: string, { name, valueStart, valueEnd }: TutorialMember): string {
  const path = [name]
  let value: unknown = JSON.parse(text.slice(valueStart, valueEnd))
  while (typeof value === 'object' && value !== null) {
    const [entry] = Object.entries(value)
    if (entry === undefined) break
    path.push(entry[0])
    value = entry[1]
  }
  return path.join('.')
}

function toValue({ name, text, line }: PlainEntry, { label, allowEmpty, prefix }: SourceOptions): ImportedValue {
  const where = line === undefined ? `of "${name}"` : `in line ${line}`
  const refuse = (why: string, ...hints: readonly string[]): VaultError =>
    new VaultError('INPUT', `cannot import "${label}": the value ${where} ${why}`, { hints })
  if (text === '' && !allowEmpty) throw refuse('is empty', '--allow-empty takes it')
  if (text.includes('\0')) throw refuse('holds a NUL')
  if (!text.isWellFormed()) throw refuse('holds half of a surrogate pair, which no bytes stand for')
  if (Buffer.byteLength(text) > MAX_VALUE_BYTES) throw refuse('is over 1 MiB')
  return { name: prefix + name, value: Secret.fromText(text), sinceMs: undefined }
}

function readVaultValues(bytes: Buffer, options: SourceOptions): readonly ImportedValue[] {
  try {
    const vault = new TutorialVault(bytes, options.findKey())
    const names = vault.names()
    const dates = options.findDates(names)
    return names.map((name) => ({
      name: options.prefix + name,
      value: vault.load(name, { nowMs: 0 }),
      sinceMs: dates.get(name),
    }))
  } catch (error) {
    if (!(error instanceof VaultError && ['DAMAGED', 'WRONG_KEY'].includes(error.code))) throw error
    const hints = error.code === 'WRONG_KEY' ? ['give its key with --from-key-file FILE'] : error.hints
    throw new VaultError(error.code, `cannot import "${options.label}": ${error.message}`, { hints })
  }
}
