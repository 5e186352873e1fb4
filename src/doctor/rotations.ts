import { isStuck, judgeRotation, takeOver } from '../rotation/stuck.js'
import { describeStop, liveVersion, waysOut } from '../vault/rotation-stop.js'
import { isOver } from '../rotation/retire.js'
import { formatUtc } from '../timestamp.js'
import { shellWord } from '../vault/name.js'
import type { CredentialVersion } from '../vault/vault.js'
import { capFindings, type Finding } from './finding.js'
import type { AnyVault, Scene } from './scene.js'

const MOST_OF_A_KIND = 20

/** Finds rotations that were interrupted, and old keys that may still work where they were made. */
export function examineRotations(vault: AnyVault, { access, host }: Scene): readonly Finding[] {
  const nowMs = access.now()
  const stuck = vault.rotations
    .filter((rotation) => isStuck(rotation, { host, nowMs }))
    .map((rotation): Finding => {
      if (judgeRotation(rotation, { host, nowMs }) === 'elsewhere') {
        const since = formatUtc(rotation.startedMs)
        const what = `a process of another machine or container has rotated "${rotation.name}" since ${since}; ${liveVersion(rotation)}`
        return { id: 'rotation-stuck', severity: 'error', what, mend: takeOver(rotation) }
      }
      const what = `a rotation of "${rotation.name}" ${describeStop(rotation)}`
      const [mend = 'mcpvault rotation-due'] = waysOut(rotation)
      return { id: 'rotation-stuck', severity: 'error', what, mend }
    })
  const old = vault
    .names()
    .flatMap((name) => (vault.describe(name)?.versions ?? []).map((version) => examineOld(name, version, nowMs)))
    .filter((finding) => finding !== undefined)
  return [
    ...capFindings(stuck, MOST_OF_A_KIND),
    ...capFindings(
      old.filter(({ id }) => id === 'revoke-failed'),
      MOST_OF_A_KIND,
    ),
    ...capFindings(
      old.filter(({ id }) => id === 'revoke-unconfirmed'),
      MOST_OF_A_KIND,
    ),
  ]
}

function examineOld(name: string, version: CredentialVersion, nowMs: number): Finding | undefined {
  const { revokeFailedMs, revoker } = version
  const which = `version ${version.version} of "${name}"`
  if (revokeFailedMs !== undefined) {
    const what = `the provider did not revoke ${which}, last tried at ${formatUtc(revokeFailedMs)}: it may still work there`
    return { id: 'revoke-failed', severity: 'warning', what, mend: 'mcpvault rotate --due' }
  }
  if (revoker !== 'person' || !isOver(version, nowMs)) return undefined
  const what = `the grace of ${which} is over, and nobody has said that it was revoked: it may still work at its provider`
  const mend = `mcpvault rotate ${shellWord(name)} --retired`
  return { id: 'revoke-unconfirmed', severity: 'warning', what, mend }
}
