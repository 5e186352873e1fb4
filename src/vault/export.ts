import { VaultError } from '../errors.js'
import type { Secret } from '../secret.js'
import type { RawKey } from './key.js'
import { sealText } from './tutorial-value.js'
import type { Vault, VaultAccess } from './vault.js'
import { shellWord } from '../shell-word.js'

/** What a vault can be turned into: plain text, or a tutorial vault under the same raw key. */
export type ExportFormat = 'json' | 'env' | 'fernet' | 'aes-256-gcm'

/**
 * Gives every current value in another format; the text holds secrets unless the format encrypts.
 *
 * @throws {VaultError} INPUT if a value or a name cannot be kept in that format, WRONG_KEY if a tutorial format is asked
 * for and the vault was opened with a passphrase.
 */
export function exportVault(vault: Vault, format: ExportFormat, access: VaultAccess): string {
  const load = (name: string): Secret => vault.load(name, { nowMs: access.now() })
  if (format === 'json') {
    const values = vault.names().map((name) => [name, jsonOf(load(name))] as const)
    return `${JSON.stringify(toObject(values), null, 2)}\n`
  }
  const entries = vault.names().map((name) => [name, textOf(name, load(name))] as const)
  if (format === 'env') return formatEnv(entries)
  const key = exportKey(access)
  const sealed = entries.map(([name, text]) => {
    const value = sealText(key, Buffer.from(text), {
      codec: format,
      nowMs: access.now(),
      randomBytes: access.randomBytes,
    })
    return [name, value] as const
  })
  return `${JSON.stringify(toObject(sealed), null, 2)}\n`
}

/** A value that is no text stands as `{"value_base64":…}`. */
function jsonOf(value: Secret): string | { readonly value_base64: string } {
  const content = value.revealText() ?? { value_base64: value.reveal().toString('base64') }
  value.wipe()
  return content
}

function textOf(name: string, value: Secret): string {
  const text = value.revealText()
  value.wipe()
  if (text === undefined) {
    throw new VaultError(
      'INPUT',
      `cannot export: the value of "${name}" is not UTF-8 text, which this format cannot hold`,
      {
        hints: [`mcpvault load -n ${shellWord(name)} > FILE`],
      },
    )
  }
  return text
}

/** A plain assignment would set the prototype for `__proto__` instead of making a member. */
function toObject<T>(entries: readonly (readonly [string, T])[]): Record<string, T> {
  return Object.fromEntries(entries)
}

function exportKey(access: VaultAccess): RawKey {
  if (access.key?.type === 'raw') return access.key
  throw new VaultError(
    'WRONG_KEY',
    'cannot export to a tutorial format: its programs need a raw key, and this vault opens with a passphrase',
  )
}

/** The variable that a credential is exported as. */
export function exportedVariable(name: string): string {
  return name.replace(/[^A-Za-z0-9_]/g, '_').toUpperCase()
}

/** Single quotes keep everything literally in every POSIX shell; a quote itself is written as '\''. */
function formatEnv(entries: readonly (readonly [string, string])[]): string {
  const taken = new Map<string, string>()
  return entries
    .map(([name, text]) => {
      const variable = exportedVariable(name)
      const other = taken.get(variable)
      if (other !== undefined || !/^[A-Z_]/.test(variable)) {
        const why = other === undefined ? 'starts with a digit' : `is also that of "${other}"`
        throw new VaultError(
          'INPUT',
          `cannot export: the variable name of "${name}" would be ${variable}, which ${why}`,
          {
            hints: ['mcpvault export --format json'],
          },
        )
      }
      if (text.includes('\0')) {
        throw new VaultError(
          'INPUT',
          `cannot export: the value of "${name}" holds a NUL, which no environment variable can`,
          { hints: ['mcpvault export --format json'] },
        )
      }
      taken.set(variable, name)
      return `${variable}='${text.replaceAll("'", `'\\''`)}'\n`
    })
    .join('')
}
