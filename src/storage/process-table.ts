/**
 * Looks at the machine: which boot, which namespace, and whether a process is still the one that it was.
 *
 * Linux tells it in /proc. macOS is asked through `sysctl` and `ps`, with a fixed zone and language so that the same
 * start time always reads the same.
 */

import { readFileSync, readlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { isSystemError, VaultError } from '../errors.js'
import type { StorageHost } from './read-file.js'

/** Where a process runs; two processes with equal members see each other's process ids. */
export interface Place {
  /** Different after every start of the machine. */
  readonly boot: string
  /** Stays the same across boots; empty where there is none (most containers). */
  readonly machine: string
  /** Names the process id and time namespaces; `none` where there are none. */
  readonly namespace: string
}

/** What the process table says about a process id; `hidden` means that it does not tell. */
export type ProcessState = { readonly start: string; readonly isZombie: boolean } | 'absent' | 'hidden'

/**
 * Tells where this process runs.
 *
 * @throws {VaultError} UNSAFE if the platform is neither Linux nor macOS, or /proc shows other processes than ours:
 * then lock owners could not be told apart.
 */
export function findPlace(host: StorageHost): Place {
  if (host.platform === 'linux') return findLinuxPlace(host)
  if (host.platform === 'darwin') return findMacPlace()
  throw new VaultError('UNSAFE', `cannot lock files on "${host.platform}": only Linux and macOS are supported`)
}

/** Looks a process of this user, or of any user when root asks, up: others may be hidden (proc(5), hidepid). */
export function findProcess(pid: number, host: StorageHost): ProcessState {
  return host.platform === 'linux' ? findLinuxProcess(pid) : findMacProcess(pid)
}

function findLinuxPlace(host: StorageHost): Place {
  try {
    // In a new process id namespace with the old /proc, every lookup would speak of somebody else's process.
    if (readlinkSync('/proc/self') === String(host.pid)) {
      return {
        boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
        machine: readOptional('/etc/machine-id').trim(),
        namespace: `${readlinkSync('/proc/self/ns/pid')} ${readNamespace('time')}`,
      }
    }
  } catch (error) {
    if (!isSystemError(error, 'ENOENT', 'EACCES', 'EPERM', 'EINVAL')) throw error
  }
  throw new VaultError('UNSAFE', 'cannot lock files: /proc is missing or belongs to another process id namespace', {
    hints: ['mount -t proc proc /proc'],
  })
}

/** Process start times in /proc are shifted by the time namespace (Linux 5.6), so it is part of the place. */
function readNamespace(name: string): string {
  try {
    return readlinkSync(`/proc/self/ns/${name}`)
  } catch {
    return ''
  }
}

function readOptional(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function findLinuxProcess(pid: number): ProcessState {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // proc_pid_stat(5): the second field is a name in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state, start] = [fields[0], fields[19]]
    if (state === undefined || start === undefined) return 'hidden'
    return { start, isZombie: state === 'Z' || state === 'X' }
  } catch (error) {
    return isSystemError(error, 'ENOENT', 'ESRCH') ? 'absent' : 'hidden'
  }
}

function findMacPlace(): Place {
  const [machine, boot] = (run('/usr/sbin/sysctl', ['-n', 'kern.uuid', 'kern.bootsessionuuid']).stdout ?? '').split(
    '\n',
  )
  if (!machine || !boot) throw new VaultError('IO', 'cannot lock files: sysctl does not tell which machine this is')
  return { machine, boot, namespace: 'none' }
}

function findMacProcess(pid: number): ProcessState {
  const { status, stdout } = run('/bin/ps', ['-p', String(pid), '-o', 'stat=', '-o', 'lstart='])
  const match = /^(\S+)\s+(\S.*)$/.exec(stdout.trim())
  if (match?.[1] && match[2]) return { start: match[2], isZombie: match[1].startsWith('Z') }
  return status === 1 && stdout.trim() === '' ? 'absent' : 'hidden'
}

function run(program: string, args: readonly string[]): { readonly status: number | null; readonly stdout: string } {
  // Required only here: loading child_process costs every start-up, and Linux never needs it.
  const { spawnSync } = createRequire('/')('node:child_process') as typeof import('node:child_process')
  return spawnSync(program, args, { encoding: 'utf8', env: { LC_ALL: 'C', TZ: 'UTC0' }, timeout: 10_000 })
}
