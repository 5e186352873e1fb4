import { VaultError } from '../errors.js'
import { type ConfigValue, isRecord } from './config-text.js'

/** Writes a value on one line, as TOML 1.0. @throws {VaultError} INTERNAL for what TOML cannot hold (null) */
export function formatToml(value: ConfigValue): string {
  if (typeof value === 'string') return formatTomlString(value, 'basic')
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (Array.isArray(value)) return `[${value.map(formatToml).join(', ')}]`
  if (isRecord(value)) {
    const rows = Object.entries(value).map(([name, member]) => `${formatTomlKey([name])} = ${formatToml(member)}`)
    return rows.length === 0 ? '{}' : `{ ${rows.join(', ')} }`
  }
  throw new VaultError('INTERNAL', 'cannot write that as TOML')
}

/** Writes a string in the wanted quotes, or in double quotes where it holds what those cannot. */
export function formatTomlString(text: string, style: 'basic' | 'literal'): string {
  if (!text.isWellFormed()) throw new VaultError('INPUT', 'cannot write half of a surrogate pair as TOML')
  if (style === 'literal' && !/['\x00-\x08\x0a-\x1f\x7f]/.test(text)) return `'${text}'`
  return `"${escapeTomlBasic(text)}"`
}

/** What stands between the double quotes of a string. */
export function escapeTomlBasic(text: string): string {
  // JSON's escapes are TOML's, but TOML wants the delete character escaped, too.
  return JSON.stringify(text).slice(1, -1).replaceAll('\x7f', '\\u007f')
}

/** Writes a key, quoted where it must be, its parts joined by dots. */
export function formatTomlKey(parts: readonly string[]): string {
  return parts.map((part) => (/^[A-Za-z0-9_-]+$/.test(part) ? part : formatTomlString(part, 'basic'))).join('.')
}
