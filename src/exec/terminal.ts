/** Tells whether a key on the terminal reaches this process' children by itself. */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { StorageHost } from '../storage/read-file.js'

/**
 * Tells whether this process is in the foreground of a terminal. What is typed there (Ctrl-C) is sent to all processes
 * of the foreground: handing it on as well would have a program see it twice, and many take the second for "at once".
 */
export function isTerminalForeground(host: StorageHost): boolean {
  const [group, foreground] = readGroups(host)
  return group !== undefined && group > 0 && group === foreground
}

/** Tells whether this process has a terminal, in whose foreground it is or may come to be. */
export function hasTerminal(host: StorageHost): boolean {
  const [, foreground] = readGroups(host)
  return foreground !== undefined && foreground > 0
}

function readGroups({ platform, pid }: StorageHost): readonly (number | undefined)[] {
  return platform === 'linux' ? readLinux(pid) : askPs(pid)
}

/** proc_pid_stat(5): pgrp is the fifth field, tpgid the eighth; the second may hold spaces and parentheses. */
function readLinux(pid: number): readonly (number | undefined)[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return [Number(fields[2]), Number(fields[5])]
  } catch {
    return []
  }
}

function askPs(pid: number): readonly (number | undefined)[] {
  const { stdout } = spawnSync('/bin/ps', ['-p', String(pid), '-o', 'pgid=', '-o', 'tpgid='], { encoding: 'utf8' })
  return (stdout ?? '').trim().split(/\s+/).map(Number)
}
