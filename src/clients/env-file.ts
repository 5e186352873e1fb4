import { VaultError } from '../errors.js'
import { type EnvAssignment, scanDotenv } from '../vault/dotenv.js'
import { applyEdits } from './config-text.js'

const SAFE_BARE = /^[A-Za-z0-9_./:@%+,=-]*$/

/**
 * Reads one assignment of a .env file, in the grammar of docs/file-format.md; undefined when the name has none.
 *
 * @param label The file, for messages.
 * @throws {VaultError} INPUT with the line if the file is malformed, the name stands in it twice or programs would disagree
 * about its value; never with a piece of the text.
 */
export function readEnvValue(text: string, name: string, label: string): string | undefined {
  return find(text, name, label)?.text
}

/**
 * Gives the text with one assignment's value replaced, or with the assignment added at the end; every other byte stays,
 * the `export` and the kind of quotes too where they can hold the value.
 *
 * @param label The file, for messages.
 * @throws {VaultError} INPUT as {@link readEnvValue} does, and for a name or value that no .env file can hold.
 */
export function setEnvValue(
  text: string,
  change: { readonly name: string; readonly value: string },
  label: string,
): string {
  const { name, value } = change
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name)) throw refuse(label, 'that is no name of a variable')
  if (value.includes('\0') || !value.isWellFormed())
    throw refuse(label, `the value of "${name}" is no text that it can hold`)
  const found = find(text, name, label)
  const edited = found === undefined ? append(text, change) : replace(text, found, value)
  if (readEnvValue(edited, name, label) === value) return edited
  throw new VaultError('INTERNAL', `cannot edit "${name}" in "${label}" in place: nothing was written`)
}

function find(text: string, name: string, label: string): EnvAssignment | undefined {
  try {
    const [first, second] = [...scanDotenv(text)].filter((one) => one.name === name)
    if (second !== undefined) throw refuse(label, `"${name}" stands in line ${second.line} again`)
    if (first?.problem !== undefined) throw refuse(label, `line ${first.line}: ${first.problem}`)
    return first
  } catch (error) {
    if (!(error instanceof VaultError) || error.message.startsWith(`cannot read "`)) throw error
    throw refuse(label, error.message.replace(/^cannot read /, ''))
  }
}

function refuse(label: string, why: string): VaultError {
  return new VaultError('INPUT', `cannot read "${label}": ${why}`)
}

function replace(text: string, found: EnvAssignment, value: string): string {
  const quote = /^["'`]/.exec(text.slice(found.start, found.end))?.[0] ?? ''
  // `A= # none`: the comment would become a part of the value.
  const gap = found.start === found.end && text[found.end] === '#' ? ' ' : ''
  return applyEdits(text, [{ start: found.start, end: found.end, text: quoteEnv(value, quote) + gap }])
}

function append(text: string, { name, value }: { readonly name: string; readonly value: string }): string {
  const eol = text.includes('\r\n') ? '\r\n' : '\n'
  const gap = text === '' || text === '\uFEFF' || text.endsWith('\n') ? '' : eol
  return `${text}${gap}${name}=${quoteEnv(value, '')}${eol}`
}

/**
 * Quotes a value: as it was where that works, else bare, else in single quotes, which no program expands, else in double
 * quotes with the escapes that shells know.
 */
function quoteEnv(value: string, before: string): string {
  if (before === '' && value !== '' && SAFE_BARE.test(value)) return value
  if (before === '"' && !/["\\$`\r]/.test(value)) return `"${value}"`
  if (before === '`' && !/[`\r]/.test(value)) return `\`${value}\``
  if (before === '' && value === '') return ''
  if (!/['\r]/.test(value)) return `'${value}'`
  return `"${value.replace(/["\\$`]/g, '\\$&').replaceAll('\r', '\\r')}"`
}
