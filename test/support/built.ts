import { cpSync, existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** The launcher of the built program. Tests never build: a build swaps chunks under processes that still load them. */
export function launcher(): string {
  if (!existsSync(join(ROOT, 'dist/cli/entry.js'))) throw new Error('run `node build.js` first')
  return join(ROOT, 'bin/mcpvault.js')
}

/** A copy of the built program that no build changes while a long trial runs it. */
export interface BuiltCopy {
  /** What `node` runs. */
  readonly launcher: string
  /** The file that exports `main` and `systemContext`. */
  readonly entry: string
  remove(): void
}

/** Copies the built program, readable by every user of the machine. */
export function copyBuilt(): BuiltCopy {
  launcher()
  const directory = mkdtempSync(join(realpathSync(tmpdir()), 'mcpvault-built-'))
  for (const name of ['bin', 'dist']) cpSync(join(ROOT, name), join(directory, name), { recursive: true })
  return {
    launcher: join(directory, 'bin/mcpvault.js'),
    entry: join(directory, 'dist/cli/entry.js'),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}
