import { SecretForms } from '../redact/find.js'
import type { Secret } from '../secret.js'
import type { Vault } from '../vault/vault.js'

/** A kept value that is looked for. */
export interface SoughtValue {
  readonly credential: string
  /** Undefined in the tutorial format. */
  readonly version: number | undefined
  readonly isCurrent: boolean
}

/** The values of a vault, prepared for looking for them. */
export interface Sought {
  readonly forms: SecretForms
  /** In the order that a hit's `secret` counts. */
  readonly values: readonly SoughtValue[]
  /** Names whose values are too short to be told from innocent text. */
  readonly tooShort: readonly string[]
  /** Names whose values cannot be read: damaged ones of a tutorial vault. */
  readonly unreadable: readonly string[]
}

/** The shortest value that is looked for, in bytes: what is shorter turns up by chance. */
export const SHORTEST_SOUGHT_BYTES = 8

/**
 * Decrypts every value that the vault keeps, current and previous ones, and prepares their forms. A value that was retired
 * is wiped from the vault and can be found no more.
 *
 * @throws {VaultError} NO_KEY, WRONG_KEY; DAMAGED in the native format.
 */
export function prepareSought(vault: Vault, nowMs: number): Sought {
  const values: SoughtValue[] = []
  const secrets: Secret[] = []
  const tooShort: string[] = []
  const unreadable: string[] = []
  try {
    for (const name of vault.names()) {
      const credential = vault.describe(name)
      if (vault.format === 'tutorial' && credential?.codec === undefined) {
        unreadable.push(name)
        continue
      }
      const versions = credential?.versions ?? []
      const numbers = versions.length === 0 ? [undefined] : versions.map(({ version }) => version)
      for (const version of numbers) {
        const secret = vault.load(name, { version, nowMs })
        secrets.push(secret)
        if (secret.reveal().length < SHORTEST_SOUGHT_BYTES) {
          secrets.pop()?.wipe()
          tooShort.push(name)
          continue
        }
        const isCurrent = versions.find((kept) => kept.version === version)?.stage !== 'previous'
        values.push({ credential: name, version, isCurrent })
      }
    }
    return { forms: new SecretForms(secrets), values, tooShort: [...new Set(tooShort)], unreadable }
  } finally {
    for (const secret of secrets) secret.wipe()
  }
}
