import { join } from 'node:path'
import { inspectLock, type LockSight } from '../storage/lock.js'
import { resolvePath } from '../storage/inspect.js'
import { formatUtc } from '../timestamp.js'
import type { Finding } from './finding.js'
import type { AnyVault, Scene } from './scene.js'

/** No writer holds a lock for longer and still commits; one that is held longer hangs. */
const LONGEST_HOLD_MS = 30_000

/** Gives the locks that are there: the vault's, and that of its high-water mark. */
export function findLocks(
  scene: Pick<Scene, 'access' | 'host' | 'stateDirectory'>,
  vaultId?: string,
): readonly LockSight[] {
  const { access, host } = scene
  const paths = [`${resolvePath(access.store.locate('vault'))}.lock`]
  if (vaultId !== undefined) paths.push(join(scene.stateDirectory, `${vaultId}.json.lock`))
  return paths.flatMap((path) => inspectLock(path, { host, now: () => access.now() }) ?? [])
}

/** Judges the locks of a vault. */
export function examineLocks(scene: Scene, vault: AnyVault | undefined): readonly Finding[] {
  return findLocks(scene, vault?.id).map((sight) => judgeLock(sight, scene.access.now()))
}

/** Judges one lock. */
export function judgeLock(sight: LockSight, nowMs: number): Finding {
  const { path, standing, sinceMs } = sight
  const mend = 'mcpvault doctor --break-lock'
  const holder = describeHolder(sight)
  if (standing === 'dead') {
    const what = `the lock "${path}" was left by ${holder}, which is gone; the next command that writes breaks it`
    return { id: 'lock-stale', severity: 'note', what, mend }
  }
  if (standing === 'live') {
    const hangs = nowMs - (sinceMs ?? nowMs) > LONGEST_HOLD_MS
    const what = `the lock "${path}" is held by ${holder}`
    return hangs
      ? { id: 'lock-hanging', severity: 'warning', what: `${what}, for longer than any command needs`, mend }
      : { id: 'lock-held', severity: 'note', what, mend: 'mcpvault doctor' }
  }
  if (standing === 'foreign') {
    const what = `the lock "${path}" is held by ${holder}, on another machine or in another container; nobody can tell from here whether it still runs`
    return { id: 'lock-foreign', severity: 'warning', what, mend }
  }
  const what = `the lock "${path}" is none that mcpvault wrote; no command can write until it is gone`
  return { id: 'lock-unreadable', severity: 'warning', what, mend: sight.found ? mend : `rm -ri "${path}"` }
}

/** Says who holds a lock: `"rotate" (process 812) since 2026-11-22T12:00:00.000Z`. */
export function describeHolder({ owner, sinceMs }: LockSight): string {
  if (owner === undefined) return 'nobody that can be named'
  const since = sinceMs === undefined ? '' : ` since ${formatUtc(sinceMs)}`
  return `"${owner.command}" (process ${owner.pid})${since}`
}
