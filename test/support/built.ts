import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The launcher of the built program. Tests never build: a build swaps chunks under processes that still load them. */
export function launcher(): string {
  if (!existsSync(new URL('../../dist/cli/entry.js', import.meta.url))) throw new Error('run `node build.js` first')
  return fileURLToPath(new URL('../../bin/mcpvault.js', import.meta.url))
}
