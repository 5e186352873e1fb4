/**
 * The registry of who holds what: which running processes were given which version of which credential.
 *
 * `mcp_holders.jsonl` beside the vault, one JSON object a line: the owner record that locks have too (process, start time,
 * boot, machine, namespace), the command, since when, and names and versions of credentials; never a value. It is a help
 * for people, not a safeguard: a process that was killed is left out by whoever reads, and cleaned away by whoever writes
 * next.
 *
 * @module
 */

import { renameSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VaultError } from '../errors.js'
import { describeSystemError } from '../storage/io-error.js'
import { type HeldLock, tryLock } from '../storage/lock.js'
import { describeSelf, isProvablyDead, type Owner, parseOwner } from '../storage/owner.js'
import { findPlace } from '../storage/process-table.js'
import { readFileChecked, type StorageHost } from '../storage/read-file.js'
import { followLinks } from '../storage/resolve-target.js'
import { guiseBeside, removeQuietly, sweepTempFiles, tempPath, writeTempFile } from '../storage/temp-file.js'
import type { VaultAccess } from '../vault/vault.js'

/** A credential that a process was given; the version is undefined in the tutorial format, which counts none. */
export interface HeldCredential {
  readonly name: string
  readonly version: number | undefined
}

/** What a process says about itself when it registers. */
export interface Holding {
  /** The bare subcommand: `exec`, `serve`. */
  readonly command: string
  /** What it runs, if anything: a path or word, of which the last part is kept. */
  readonly program?: string | undefined
  readonly credentials: readonly HeldCredential[]
}

/** A process that holds credentials. */
export interface Holder {
  readonly pid: number
  readonly command: string
  readonly program: string | undefined
  /** When it registered, in milliseconds since the epoch. */
  readonly sinceMs: number
  readonly credentials: readonly HeldCredential[]
  /** Whether it is on another machine or in another container, where nobody here can tell whether it still runs. */
  readonly isElsewhere: boolean
}

/** This process' entry in the registry. */
export interface HolderEntry {
  /** Says what the process holds from now on. Never throws. */
  update(credentials: readonly HeldCredential[]): Promise<void>
  /** Takes the entry out. Never throws. */
  release(): Promise<void>
}

/** What the registry needs of the vault and the world. */
export type HolderAccess = Pick<VaultAccess, 'store' | 'now' | 'randomBytes' | 'warn'>

/** One line of the file. */
interface Line extends Owner {
  readonly program?: string
  /** Milliseconds since the epoch. */
  readonly since: number
  readonly credentials: readonly { readonly name: string; readonly version: number | null }[]
}

const FILE_NAME = 'mcp_holders.jsonl'
const MOST_BYTES = 1024 * 1024
/** Who is elsewhere cannot be looked up, and is taken for gone after this time. */
const ELSEWHERE_MS = 30 * 86_400_000
const LOCK_WAIT_MS = 3000
const LOCK_PAUSE_MS = 10

/** Where the registry of a vault lies. */
export function holdersPath({ store }: Pick<HolderAccess, 'store'>): string {
  return join(dirname(followLinks(store.locate('vault'))), FILE_NAME)
}

/**
 * Notes that this process holds credentials, until the entry is released or the process ends, however it does.
 *
 * Never throws: where the registry cannot be written, a warning is given and the process goes on unregistered.
 */
export async function registerHolder(access: HolderAccess, holding: Holding, host: StorageHost): Promise<HolderEntry> {
  const nonce = access.randomBytes(16).toString('hex')
  const since = access.now()
  const write = (credentials: readonly HeldCredential[] | undefined): Promise<void> =>
    change(access, { host, command: holding.command }, (lines) => {
      const others = lines.filter((line) => line.nonce !== nonce)
      if (credentials === undefined) return others
      const program = holding.program === undefined ? {} : { program: wordOf(holding.program) }
      const held = credentials.map(({ name, version }) => ({ name, version: version ?? null }))
      return [...others, { ...describeSelf(host, nonce, holding.command), ...program, since, credentials: held }]
    })
  await write(holding.credentials)
  return { update: write, release: () => write(undefined) }
}

/**
 * Lists the processes that hold credentials, first come first; dead ones are left out.
 *
 * @throws {VaultError} UNSAFE if others can write the registry, INPUT, IO if it cannot be read
 */
export function readHolders(access: HolderAccess, host: StorageHost): readonly Holder[] {
  const lines = readLines(access, host)
  if (lines.length === 0) return []
  const here = findPlace(host)
  return lines.map(({ pid, command, program, since, credentials, ...place }) => ({
    pid,
    command,
    program,
    sinceMs: since,
    credentials: credentials.map(({ name, version }) => ({ name, version: version ?? undefined })),
    isElsewhere: place.namespace !== here.namespace || place.machine !== here.machine || place.boot !== here.boot,
  }))
}

/** Who rewrites the registry. */
interface Self {
  readonly host: StorageHost
  readonly command: string
}

/** Rewrites the registry under its own lock: the vault's may be held for longer than anybody wants to wait here. */
async function change(
  access: HolderAccess,
  { host, command }: Self,
  edit: (lines: readonly Line[]) => readonly Line[],
): Promise<void> {
  const path = holdersPath(access)
  try {
    const lock = await takeLock(`${path}.lock`, access, { host, command })
    try {
      sweepTempFiles([path])
      replace(path, edit(readLines(access, host)), { access, host })
    } finally {
      lock.release()
    }
  } catch (error) {
    const reason = error instanceof VaultError ? error.message : describeSystemError(error)
    access.warn(`cannot note in "${path}" which credentials this process holds: ${reason}`)
  }
}

async function takeLock(path: string, { now, randomBytes }: HolderAccess, { host, command }: Self): Promise<HeldLock> {
  const until = performance.now() + LOCK_WAIT_MS
  for (;;) {
    const lock = tryLock(path, { command, host, now, randomBytes })
    if (lock) return lock
    if (performance.now() > until) throw new VaultError('LOCKED', 'another process keeps its lock')
    await sleep(LOCK_PAUSE_MS)
  }
}

function replace(
  path: string,
  lines: readonly Line[],
  { access, host }: { readonly access: HolderAccess; readonly host: StorageHost },
): void {
  const bytes = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(''), 'utf8')
  if (bytes.length > MOST_BYTES) throw new VaultError('INPUT', 'it is full')
  const temp = tempPath(path, access.randomBytes)
  try {
    // What root writes beside a user's vault is to stay the user's.
    writeTempFile(temp, bytes, { action: 'cannot write', guise: guiseBeside(dirname(path), host) })
    renameSync(temp, path)
  } catch (error) {
    removeQuietly(temp)
    throw error
  }
}

/** Reads the lines of processes that may still run; what is no line of ours is left out. */
function readLines(access: HolderAccess, host: StorageHost): readonly Line[] {
  const snapshot = readFileChecked(holdersPath(access), { what: 'registry', host, maxBytes: MOST_BYTES })
  if (!snapshot) return []
  const here = findPlace(host)
  const isGone = (line: Line): boolean =>
    // An age of zero: who cannot be looked up from here is not taken for gone as the owner of an old lock is.
    isProvablyDead(line, here, { host, ageMs: 0 }) ||
    (line.namespace !== here.namespace && access.now() - line.since > ELSEWHERE_MS)
  const lines = snapshot.bytes.toString('utf8').split('\n').map(parseLine)
  return lines.filter((line): line is Line => line !== undefined && !isGone(line))
}

function parseLine(text: string): Line | undefined {
  const line = parseOwner(text) as Partial<Line> | undefined
  if (!line || !Number.isSafeInteger(line.since) || !Array.isArray(line.credentials)) return undefined
  if (line.program !== undefined && typeof line.program !== 'string') return undefined
  const isHeld = (held: unknown): boolean =>
    typeof held === 'object' &&
    held !== null &&
    'name' in held &&
    typeof held.name === 'string' &&
    'version' in held &&
    (held.version === null || Number.isSafeInteger(held.version))
  return line.credentials.every(isHeld) ? (line as Line) : undefined
}

/** The program's own name: its arguments are nobody's business, and a path may hold a user's name. */
function wordOf(program: string): string {
  return basename(program).slice(0, 64)
}
