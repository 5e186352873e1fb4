/**
 * The end of a replaced value: its grace is over or a newer one needs its place, it is revoked where it was made, and then
 * it is wiped.
 *
 * @module
 */

import { sha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { changeVault } from '../vault/change.js'
import { shellWord } from '../vault/name.js'
import { openVault } from '../vault/open.js'
import { requireTrust } from '../vault/trust.js'
import type { Credential, CredentialVersion, Rotation, Vault } from '../vault/vault.js'
import { type RotationDesk, takeStep } from './desk.js'
import { revokeValue } from './provider.js'
import { parseProvider } from './spec.js'

/** A version of a credential that is to go. */
export interface Retiring {
  readonly name: string
  readonly version: CredentialVersion
}

/** What became of those that were to go. */
export interface RetireReport {
  readonly retired: readonly Retiring[]
  /** The provider did not confirm; the next run tries again. */
  readonly failed: readonly (Retiring & { readonly error: VaultError })[]
}

/** Finds what can go without a person: past its grace, with nobody who needs to revoke it, or with a provider for that. */
export function findExpired(vault: Vault, nowMs: number): readonly Retiring[] {
  return vault.names().flatMap((name) => {
    const versions = vault.describe(name)?.versions ?? []
    return versions
      .filter((version) => isOver(version, nowMs) && version.revoker !== 'person')
      .map((version) => ({ name, version }))
  })
}

/** Tells whether the grace of a previous version is over. */
export function isOver({ stage, untilMs }: CredentialVersion, nowMs: number): boolean {
  return stage === 'previous' && untilMs !== undefined && untilMs <= nowMs
}

/**
 * Revokes, wipes and logs each of them, for the sake of a rotation under way if one is given; a failure keeps none of the
 * others.
 */
export async function retireAll(
  retiring: readonly Retiring[],
  desk: RotationDesk,
  rotation?: Rotation,
): Promise<RetireReport> {
  const retired: Retiring[] = []
  const failed: (Retiring & { readonly error: VaultError })[] = []
  for (const one of retiring) {
    try {
      await retireOne(one, desk, rotation)
      retired.push(one)
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      failed.push({ ...one, error })
    }
  }
  return { retired, failed }
}

/**
 * Makes room for a newer version: what the provider has still to revoke of a credential is revoked now. That it fails
 * keeps nobody from rotating; the version stays, and the next run tries again.
 */
export async function retireOlder(rotation: Rotation, desk: RotationDesk): Promise<void> {
  const { name } = rotation
  const { failed } = await retireAll(
    findOlderUpstream(openVault(desk.access), name).map((version) => ({ name, version })),
    desk,
    rotation,
  )
  for (const { version, error } of failed) {
    desk.access.warn(`version ${version.version} of "${name}" may still work at the provider: ${error.message}`)
  }
}

/** Finds what a provider has still to revoke of a credential. */
export function findOlderUpstream(vault: Vault, name: string): readonly CredentialVersion[] {
  const versions = vault.describe(name)?.versions ?? []
  return versions.filter(({ stage, revoker }) => stage === 'previous' && revoker === 'provider')
}

/** Takes a person's word that the previous values of a credential were revoked; gives the versions that went. */
export async function confirmRetired(
  name: string,
  { reason }: { readonly reason?: string | undefined },
  { access }: Pick<RotationDesk, 'access'>,
): Promise<readonly number[]> {
  const vault = openVault(access)
  const previous = (vault.describe(name)?.versions ?? []).filter(({ stage }) => stage === 'previous')
  if (previous.length === 0) {
    throw new VaultError('NOT_FOUND', `cannot retire anything of "${name}": it keeps no previous version`, {
      hints: [`mcpvault history ${shellWord(name)}`],
    })
  }
  const versions = previous.map(({ version }) => version)
  await changeVault(access, 'rotate', ({ staged }) => {
    for (const version of versions) staged.retire(name, version, { reason: reason ?? 'revoked by hand' })
  })
  return versions
}

async function retireOne({ name, version }: Retiring, desk: RotationDesk, rotation?: Rotation): Promise<void> {
  const { access } = desk
  if (version.revoker === 'provider') {
    // That no program may run is no failure of the provider's.
    requireTrust(openVault(access), `revoke version ${version.version} of "${name}"`)
    try {
      await revoke({ name, version }, desk, rotation)
    } catch (error) {
      await changeVault(access, 'rotate', ({ staged }) => staged.markRevokeFailed(name, version.version))
      throw sayingLive(error, openVault(access).describe(name))
    }
  }
  await changeVault(access, 'rotate', ({ staged }) => staged.retire(name, version.version, {}))
}

function sayingLive(error: unknown, credential: Credential | undefined): unknown {
  const live = credential?.versions.find(({ stage }) => stage === 'current')?.version
  if (!(error instanceof VaultError) || live === undefined) return error
  const { code, message, hints } = error
  return new VaultError(code, `${message}; version ${live} is live`, { hints, cause: error })
}

async function revoke({ name, version }: Retiring, desk: RotationDesk, rotation?: Rotation): Promise<void> {
  const { access, world } = desk
  const vault = openVault(access)
  const provider = parseProvider(version.provider ?? vault.describe(name)?.policy?.provider ?? 'manual')
  const byHand = `once it is revoked by hand: mcpvault rotate ${shellWord(name)} --retired`
  const number = version.version
  if (provider.kind !== 'command') {
    throw new VaultError(
      'ROTATION',
      `cannot revoke version ${number} of "${name}": its policy has no provider for that`,
      { hints: [byHand] },
    )
  }
  const current = vault.load(name, { nowMs: access.now() })
  // Its grace is over for everybody else.
  const revoked = vault.load(name, { version: number, nowMs: 0 })
  // The same for every try, without a place to keep it.
  const idempotencyKey = sha256(`mcpvault/revoke ${vault.id} ${number} ${name}`).toString('hex').slice(0, 32)
  const { handle } = version
  const request = { credential: name, version: number, idempotencyKey, handle, current, revoked }
  try {
    // An import may have brought an old value back: revoking it would kill the live one.
    if (current.reveal().equals(revoked.reveal())) return
    const sentence = `retire: asking the provider to revoke version ${number} of "${name}"`
    const live = vault.describe(name)?.versions.find(({ stage }) => stage === 'current')?.version
    const stop = `version ${number} of "${name}" may still work at the provider; version ${live} is live (mcpvault rotate --due)`
    await takeStep({ desk, sentence, stop, ...(rotation === undefined ? {} : { rotation }) }, () =>
      revokeValue(provider, request, world),
    )
  } catch (error) {
    if (!(error instanceof VaultError) || error.code !== 'ROTATION') throw error
    throw new VaultError(error.code, error.message, { hints: [...error.hints, byHand], cause: error })
  } finally {
    current.wipe()
    revoked.wipe()
  }
}
