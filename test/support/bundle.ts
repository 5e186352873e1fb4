/**
 * Makes a TypeScript file runnable by any Node as a process of its own, for tests that kill processes.
 *
 * @module
 */

import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

/** A bundled script; `node PATH` runs it. */
export interface Bundle {
  readonly path: string
  remove(): void
}

// Bundled CommonJS packages call require, which an ES module does not have.
const BANNER = `import { createRequire as __createRequire } from 'node:module'
const require = __createRequire(import.meta.url)`

/** Bundles a script with everything that it imports; `entry` is as in `new URL('./child.ts', import.meta.url)`. */
export async function bundleScript(entry: URL): Promise<Bundle> {
  const directory = mkdtempSync(join(tmpdir(), 'mcpvault-bundle-'))
  // Readable by whichever user a test lets the script run as.
  chmodSync(directory, 0o755)
  const path = join(directory, 'script.mjs')
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile: path,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    banner: { js: BANNER },
    logLevel: 'silent',
  })
  return { path, remove: () => rmSync(directory, { recursive: true, force: true }) }
}
