import { spawnSync } from 'node:child_process'
import type { TestContext } from 'vitest'
import { announceMissing } from '../storage/storage-support.js'

/** Skips a test loudly where something that it needs is not there; `missing` says what, and how to get it. */
export function need(context: TestContext, isThere: boolean, missing: string): void {
  if (isThere) return
  process.stderr.write(`\nSKIPPED: ${context.task.name}\n`)
  announceMissing(missing)
  context.skip()
}

const found = new Map<string, boolean>()

/** Skips a test loudly where a program is not in PATH; `package_` is Debian's that has it. */
export function needProgram(context: TestContext, program: string, package_ = program): void {
  const isThere = found.get(program) ?? spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status === 0
  found.set(program, isThere)
  need(context, isThere, `there is no ${program} here (Debian: apt-get install ${package_})`)
}
