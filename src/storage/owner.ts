/** Who holds a lock, as written in the lock file, and whether that process is provably gone. */

import { findPlace, findProcess, type Place, type ProcessState } from './process-table.js'
import type { StorageHost } from './read-file.js'
import { VaultError } from '../errors.js'

/** A process, as the process table tells it from all others that ever ran. */
export interface ProcessRecord extends Place {
  readonly pid: number
  /** When the process started, in the process table's own spelling. */
  readonly start: string
}

/** The record in a lock file. */
export interface Owner extends ProcessRecord {
  /** 32 hex digits, new for each lock. */
  readonly nonce: string
  /** The subcommand alone, never its arguments. */
  readonly command: string
}

/** After this time a lock of another container of the same boot is taken for the rest of a killed one. */
const FOREIGN_NAMESPACE_MS = 60_000

const COMMAND = /^[a-z]+(?:[ -][a-z]+){0,4}$/
const MEMBERS = ['start', 'boot', 'machine', 'namespace', 'nonce', 'command'] as const

/**
 * Makes the record of this process.
 *
 * @throws {VaultError} UNSAFE if owners cannot be told apart here, INTERNAL if `command` is not a bare subcommand.
 */
export function describeSelf(host: StorageHost, nonce: string, command: string): Owner {
  if (!COMMAND.test(command))
    throw new VaultError('INTERNAL', 'cannot lock files: the command is not a bare subcommand')
  return { ...describeProcess(host), nonce, command }
}

/** Names this process. @throws {VaultError} UNSAFE if processes cannot be told apart here */
export function describeProcess(host: StorageHost): ProcessRecord {
  const place = findPlace(host)
  const self = findProcess(host.pid, host)
  if (typeof self === 'string')
    throw new VaultError('UNSAFE', 'cannot lock files: this process is not in the process table')
  return { pid: host.pid, start: self.start, ...place }
}

/**
 * Tells whether a process that has named itself `ageMs` ago is still running: `live` and `dead` are certain, `elsewhere`
 * means that it cannot be told from here.
 */
export function judgeProcess(
  owner: ProcessRecord,
  { host, ageMs }: { readonly host: StorageHost; readonly ageMs: number },
): 'live' | 'dead' | 'elsewhere' {
  try {
    const here = findPlace(host)
    if (isProvablyDead(owner, here, { host, ageMs })) return 'dead'
    const { boot, machine, namespace } = owner
    return boot === here.boot && machine === here.machine && namespace === here.namespace ? 'live' : 'elsewhere'
  } catch (error) {
    // Where processes cannot be told apart nothing is proved.
    if (error instanceof VaultError) return 'elsewhere'
    throw error
  }
}

/** Writes an owner as a line of JSON. */
export function formatOwner(owner: Owner): string {
  return `${JSON.stringify(owner)}\n`
}

/** Reads what {@link formatOwner} wrote; undefined when it is anything else. */
export function parseOwner(text: string): Owner | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const owner = value as Owner
  const isComplete =
    Number.isSafeInteger(owner.pid) && owner.pid > 0 && MEMBERS.every((member) => isText(owner[member]))
  return isComplete && owner.boot !== '' && owner.nonce !== '' && COMMAND.test(owner.command) ? owner : undefined
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 200
}

/**
 * Judges whether the owner of a lock that was published `ageMs` ago can no longer be running. The lock file's mode sees
 * to it that only the owner's user and root get to judge, from whom no process is hidden.
 *
 * On the same machine and in the same namespace: another boot, no such process, another start time, or a zombie. In
 * another namespace of the same boot nothing can be looked up, so age decides; every holder gives up well before that.
 * Anything else is no proof.
 */
export function isProvablyDead(
  owner: ProcessRecord,
  self: Place,
  { host, ageMs }: { readonly host: StorageHost; readonly ageMs: number },
): boolean {
  if (owner.namespace !== self.namespace) {
    return owner.boot === self.boot && ageMs >= FOREIGN_NAMESPACE_MS
  }
  if (owner.machine !== self.machine) return false
  // Without a machine id only the boot id, which is never the same twice, can prove that this is the same machine.
  if (owner.boot !== self.boot) return owner.machine !== ''
  return isGone(findProcess(owner.pid, host), owner.start)
}

function isGone(state: ProcessState, start: string): boolean {
  if (typeof state === 'string') return state === 'absent'
  return state.isZombie || state.start !== start
}
