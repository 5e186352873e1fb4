/**
 * The lock: a file that holds a complete record of its owner, published with `link()`.
 *
 * A lock is broken only when its owner is provably dead, by one process at a time (`break-lock.ts`). A holder that finds
 * its lock lost or older than 30 s commits nothing.
 */

import { linkSync, lstatSync } from 'node:fs'
import { dirname } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { breakClaimPath, type Found, findLock, isSame, moveAside } from './break-lock.js'
import { linkError, wrapSystemError } from './io-error.js'
import { isShared } from './network-file-system.js'
import { describeSelf, formatOwner, isProvablyDead, type Owner, parseOwner } from './owner.js'
import { findPlace } from './process-table.js'
import type { StorageHost } from './read-file.js'
import { type Guise, removeQuietly, tempPath, writeTempFile } from './temp-file.js'
import { shellWord } from '../shell-word.js'

/** What a lock needs of the world. */
export interface LockOptions {
  /** The bare subcommand, for the message that others see while they wait. */
  readonly command: string
  readonly host: StorageHost
  readonly randomBytes: (length: number) => Buffer
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Mode and owner of the lock file; 0600 and this process' own when undefined. */
  readonly guise?: Guise | undefined
}

/** A lock that this process has. */
export interface HeldLock {
  /** @throws {VaultError} LOCKED if the lock is no longer this one, or is so old that others may break it. */
  assertHeld(): void
  /** Gives the lock back, if it still is this one; never throws. */
  release(): void
}

/** No commit is begun this long after taking the lock; others break it after twice that time at the earliest. */
const LONGEST_HOLD_MS = 30_000
/** How often the owner of one and the same lock is judged again while waiting for it. */
const JUDGE_EVERY_MS = 100

/** An attempt at a lock: its record lies in a temporary file, ready to be published. */
export class LockClaim {
  readonly #path: string
  readonly #temp: string
  readonly #options: LockOptions
  readonly #self: Owner
  #judged: { readonly found: Found; readonly at: number } | undefined

  /** @throws {VaultError} UNSAFE if lock owners cannot be told apart on this machine, IO if nothing can be written. */
  constructor(path: string, options: LockOptions) {
    this.#path = path
    this.#options = options
    this.#self = describeSelf(options.host, options.randomBytes(16).toString('hex'), options.command)
    this.#temp = tempPath(path, options.randomBytes)
    this.#writeTemp()
  }

  /**
   * Takes the lock if it is free or its owner is provably dead; undefined otherwise.
   *
   * @throws {VaultError} IO if the lock can be neither read nor published.
   */
  tryTake(): HeldLock | undefined {
    const takenAt = { wall: this.#options.now(), monotonic: performance.now() }
    if (this.#publish()) return this.#hold(takenAt)
    const found = findLock(this.#path)
    if (typeof found !== 'object') return undefined
    // A network file system may have published it and lost the answer.
    if (found.text === formatOwner(this.#self)) return this.#hold(takenAt)
    if (!this.#isDead(found)) return undefined
    return this.#breakDead(found) && this.#publish() ? this.#hold(takenAt) : undefined
  }

  /** Says who keeps the lock, after waiting for it in vain. */
  refusal(): VaultError {
    const found = findLock(this.#path)
    const owner = typeof found === 'object' ? parseOwner(found.text) : undefined
    if (typeof found !== 'object' || !owner) return this.#unreadableRefusal(found)
    const since = new Date(found.sinceMs).toISOString()
    const holder = `"${owner.command}" (process ${owner.pid}) has held it since ${since}`
    return new VaultError('LOCKED', `cannot lock "${this.#path}": ${holder}`, {
      hints: ['wait longer with --lock-timeout 60s', ...this.#stuckHints(owner)],
    })
  }

  /** Removes the temporary file; the claim cannot be used any more. */
  discard(): void {
    removeQuietly(this.#temp)
  }

  #unreadableRefusal(found: Found | 'absent' | 'unreadable'): VaultError {
    if (found === 'absent')
      return new VaultError('LOCKED', `cannot lock "${this.#path}": other processes keep taking it`)
    const [reason, remedy] =
      found === 'unreadable'
        ? ['it cannot be read', `rm -ri ${shellWord(this.#path)}`]
        : ['it is not a lock that mcpvault wrote', 'mcpvault doctor --break-lock']
    return new VaultError('LOCKED', `cannot lock "${this.#path}": ${reason}`, {
      hints: [`if no mcpvault is writing, remove it: ${remedy}`],
    })
  }

  #stuckHints(owner: Owner): readonly string[] {
    const isHere = owner.namespace === this.#self.namespace && owner.machine === this.#self.machine
    if (isHere && !isShared(dirname(this.#path), this.#options.host.platform)) return []
    return ['if that process runs nowhere any more, on any machine or container: mcpvault doctor --break-lock']
  }

  #writeTemp(): void {
    const action = `cannot lock "${this.#path}"`
    try {
      // Synced, so that a power cut cannot leave an empty lock file behind that nobody may break.
      writeTempFile(this.#temp, Buffer.from(formatOwner(this.#self), 'utf8'), { action, guise: this.#options.guise })
    } catch (error) {
      removeQuietly(this.#temp)
      throw wrapSystemError(action, error)
    }
  }

  #publish(): boolean {
    for (let attempt = 0; attempt < 8; attempt++) {
      try {
        linkSync(this.#temp, this.#path)
        removeQuietly(this.#temp)
        return true
      } catch (error) {
        if (isSystemError(error, 'EEXIST')) return false
        if (!isSystemError(error, 'ENOENT')) throw linkError(`cannot lock "${this.#path}"`, error)
        // Whoever held the lock swept the temporary files beside it.
        this.#writeTemp()
      }
    }
    return false
  }

  /**
   * Moves a dead lock away, unless another process is at it. Who judged it a moment ago may find the lock of a living one
   * in its place, so only one process at a time may, and only while the lock is still the one that was judged.
   */
  #breakDead(found: Found): boolean {
    const claim = breakClaimPath(this.#path, found)
    if (!this.#claimBreaking(claim)) return false
    try {
      const later = findLock(this.#path)
      return typeof later === 'object' && isSame(later, found) && this.#moveAside(this.#path, found)
    } finally {
      removeQuietly(claim)
    }
  }

  #claimBreaking(claim: string): boolean {
    if (this.#linkTo(claim)) return true
    const found = findLock(claim)
    // Its maker may have been killed with it.
    if (typeof found !== 'object' || !this.#isProvablyDead(found)) return false
    return this.#moveAside(claim, found) && this.#linkTo(claim)
  }

  #linkTo(path: string): boolean {
    try {
      linkSync(this.#temp, path)
      return true
    } catch (error) {
      // Whoever holds the lock by now swept the temporary files beside it.
      if (isSystemError(error, 'EEXIST', 'ENOENT')) return false
      throw linkError(`cannot lock "${this.#path}"`, error)
    }
  }

  #moveAside(path: string, found: Found): boolean {
    return moveAside(path, found, this.#options.randomBytes)
  }

  #isDead(found: Found): boolean {
    const at = performance.now()
    const isKnown = this.#judged !== undefined && isSame(this.#judged.found, found)
    if (isKnown && at - (this.#judged?.at ?? 0) < JUDGE_EVERY_MS) return false
    this.#judged = { found, at }
    return this.#isProvablyDead(found)
  }

  #isProvablyDead(found: Found): boolean {
    const owner = parseOwner(found.text)
    const { host, now } = this.#options
    const ageMs = now() - found.sinceMs
    // What the process table of one machine says proves nothing where other machines write, too.
    return (
      owner !== undefined &&
      isProvablyDead(owner, this.#self, { host, ageMs }) &&
      !isShared(dirname(this.#path), host.platform)
    )
  }

  #hold(takenAt: { readonly wall: number; readonly monotonic: number }): HeldLock {
    const [path, mine, { now }] = [this.#path, formatOwner(this.#self), this.#options]
    const isMine = (): boolean => {
      const found = findLock(path)
      return typeof found === 'object' && found.text === mine
    }
    return {
      assertHeld() {
        // Both clocks: one stops while the machine sleeps, the other can be set.
        const heldMs = Math.max(now() - takenAt.wall, performance.now() - takenAt.monotonic)
        if (heldMs > LONGEST_HOLD_MS) throw new VaultError('LOCKED', `cannot commit: "${path}" was held for over 30 s`)
        if (!isMine()) throw new VaultError('LOCKED', `cannot commit: "${path}" was taken away meanwhile`)
      },
      release() {
        if (isMine()) removeQuietly(path)
      },
    }
  }
}

/** Tries once to take a lock; undefined when somebody else has it. */
export function tryLock(path: string, options: LockOptions): HeldLock | undefined {
  const claim = new LockClaim(path, options)
  try {
    return claim.tryTake()
  } finally {
    claim.discard()
  }
}

/** A lock that is there, as somebody sees it who does not want it. */
export interface LockSight {
  readonly path: string
  /** Undefined when the file holds no complete record of one. */
  readonly owner: Owner | undefined
  /** When it was published, in milliseconds since the epoch; undefined when that cannot be read. */
  readonly sinceMs: number | undefined
  /**
   * `dead`: the owner is provably gone, and the next writer breaks the lock; `live`: it runs on this machine; `foreign`:
   * it belongs to another machine or container, or other machines write here; `unreadable`: no lock that mcpvault wrote.
   */
  readonly standing: 'dead' | 'live' | 'foreign' | 'unreadable'
  readonly found: Found | undefined
}

/** Looks at a lock without wanting it; undefined when there is none. */
export function inspectLock(path: string, { host, now }: Pick<LockOptions, 'host' | 'now'>): LockSight | undefined {
  const found = findLock(path)
  if (found === 'absent') return undefined
  if (found === 'unreadable') {
    const nobody = { path, owner: undefined, sinceMs: undefined, standing: 'unreadable', found: undefined } as const
    return isThere(path) ? nobody : undefined
  }
  const owner = parseOwner(found.text)
  const standing = owner ? judgeOwner(owner, path, { host, ageMs: now() - found.sinceMs }) : 'unreadable'
  return { path, owner, sinceMs: found.sinceMs, standing, found }
}

/**
 * Breaks a lock because a person said so; false when it is gone or another one by now, which is then left alone. A
 * holder that still runs finds its lock lost and commits nothing.
 *
 * @throws {VaultError} IO if it is no file that can be read, or cannot be moved.
 */
export function breakLock({ path, found }: LockSight, { randomBytes }: Pick<LockOptions, 'randomBytes'>): boolean {
  if (found !== undefined) return moveAside(path, found, randomBytes)
  throw new VaultError('IO', `cannot break the lock "${path}": it is no file that can be read`, {
    hints: [`if no mcpvault is writing, remove it: rm -ri ${shellWord(path)}`],
  })
}

/** A directory that may not be looked into says nothing about a lock in it. */
function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined
  } catch {
    return false
  }
}

function judgeOwner(
  owner: Owner,
  path: string,
  { host, ageMs }: { readonly host: StorageHost; readonly ageMs: number },
): 'dead' | 'live' | 'foreign' {
  try {
    if (isShared(dirname(path), host.platform)) return 'foreign'
    const here = findPlace(host)
    if (isProvablyDead(owner, here, { host, ageMs })) return 'dead'
    const { boot, machine, namespace } = owner
    return boot === here.boot && machine === here.machine && namespace === here.namespace ? 'live' : 'foreign'
  } catch (error) {
    // Where owners cannot be told apart nothing is proved.
    if (error instanceof VaultError) return 'foreign'
    throw error
  }
}
