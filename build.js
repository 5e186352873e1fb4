/**
 * Builds dist/cli: the command line as CommonJS chunks. esbuild splits only ESM, and Node starts CommonJS faster, so the
 * sources are split as ESM first and each chunk is then transformed on its own (docs/decisions/).
 *
 * The result is a function of the sources alone, and two builds at once cannot mix: each works in a directory of its own
 * and swaps it in.
 */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

const root = fileURLToPath(new URL('.', import.meta.url))
/** Another directory may be given, for the tests. */
const dist = resolve(process.argv[2] ?? join(root, 'dist'))
const TARGET = 'node20.18'

const chunks = await splitAsModules()
const work = makeWorkDirectory()
try {
  for (const chunk of chunks) writeFileSync(join(work, basename(chunk.path)), await toCommonJs(chunk.text))
  writeFileSync(join(work, 'package.json'), '{ "type": "commonjs" }\n')
  swapIn(work, join(dist, 'cli'))
} finally {
  rmSync(work, { recursive: true, force: true })
}

async function splitAsModules() {
  const result = await build({
    absWorkingDir: root,
    entryPoints: { entry: 'src/cli/entry.ts' },
    outdir: join(dist, 'cli'),
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: TARGET,
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    chunkNames: '[name]-[hash]',
    write: false,
    logLevel: 'warning',
  })
  return result.outputFiles
}

async function toCommonJs(text) {
  const result = await transform(text, {
    format: 'cjs',
    platform: 'node',
    target: TARGET,
    supported: { 'dynamic-import': false },
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
  })
  return result.code
}

function makeWorkDirectory() {
  mkdirSync(dist, { recursive: true })
  const directory = mkdtempSync(join(dist, '.cli-'))
  chmodSync(directory, 0o755)
  return directory
}

/** Puts the new directory in the place of the old; a build that came first is simply replaced once more. */
function swapIn(fresh, target) {
  for (let attempt = 0; ; attempt += 1) {
    const old = `${fresh}-old`
    try {
      renameSync(target, old)
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
    try {
      renameSync(fresh, target)
      rmSync(old, { recursive: true, force: true })
      return
    } catch (error) {
      rmSync(old, { recursive: true, force: true })
      if (attempt >= 20 || !['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error
    }
  }
}
