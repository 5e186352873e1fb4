/**
 * Debian's strace as an instrument: it lists the system calls of a process, kills it before any one of them, or lets one
 * fail.
 *
 * Only the main thread is followed. Node reads and writes there whatever is done synchronously, and a call is then known
 * by its name and the number of calls of that name before it.
 *
 * @module
 */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'vitest'
import { need } from './need.js'

/** One system call of a traced process. */
export interface Call {
  readonly name: string
  /** 1 for the first call of this name. */
  readonly count: number
  /** The call with whatever differs from run to run replaced by `*`. */
  readonly text: string
  /** Whether it returned; false for the one before which the process was killed, and for `exit_group`. */
  readonly isDone: boolean
  /** Whether it failed on purpose. */
  readonly isInjected: boolean
}

let works: boolean | undefined

/** Skips a test loudly where strace does not run. */
export function needStrace(context: TestContext): void {
  works ??= spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0
  need(context, works, 'strace does not run here (Debian: apt-get install strace)')
}

/** How a process is traced. */
export interface TraceOptions {
  /** Names of system calls. */
  readonly calls: readonly string[]
  /** The file that the calls are written to. */
  readonly log: string
  /** As strace has it: `fsync:signal=KILL:when=2`. */
  readonly inject?: string
}

/** Puts strace in front of a command. */
export function traced(command: readonly string[], { calls, log, inject }: TraceOptions): readonly string[] {
  const trace = ['-e', `trace=${calls.join(',')}`, '-e', 'signal=none']
  return [
    'strace',
    '-qq',
    '-y',
    '-s',
    '0',
    '-o',
    log,
    ...trace,
    ...(inject ? ['-e', `inject=${inject}`] : []),
    ...command,
  ]
}

/** Reads the calls that strace wrote; of a killed process the last one may be the one that was not made any more. */
export function readCalls(log: string): readonly Call[] {
  const counts = new Map<string, number>()
  const calls: Call[] = []
  for (const line of readFileSync(log, 'utf8').split('\n')) {
    const name = /^([a-z_0-9]+)\(/.exec(line)?.[1]
    if (name === undefined) continue
    const count = (counts.get(name) ?? 0) + 1
    counts.set(name, count)
    calls.push({
      name,
      count,
      text: normalise(line),
      isDone: /\) += [^?]/.test(line),
      isInjected: line.endsWith('(INJECTED)'),
    })
  }
  return calls
}

/** Descriptors, lengths, results and the random parts of names differ from run to run. */
function normalise(line: string): string {
  return line
    .replace(/\)\s+= .*$/, ')')
    .replace(/\b\d+</g, '<')
    .replace(/<(pipe|socket):\[\d+\]>/g, '<$1>')
    .replace(/\.tmp-[0-9a-f]{16}/g, '.tmp-*')
    .replace(/[A-Za-z0-9_-]{22}\.json/g, '*.json')
    .replace(/, ""\.\.\.|, \d+(?=[,)])/g, '')
}
