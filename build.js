/**
 * Builds dist/cli, the command line as CommonJS, which Node starts faster than ESM (docs/decisions/), and dist/lib, the
 * library.
 *
 * Two worlds: `run-*.js` are the commands, each in one file with all that it needs at once, since every further file and
 * line costs a part of a millisecond; `entry.js` and its chunks are everything, for the command lines that need commander.
 * What a command imports lazily comes from the second world, except that a command that writes holds the transaction
 * too. esbuild splits only ESM, so that world is split as ESM first and each chunk is then transformed on its own.
 *
 * The result is a function of the sources alone, but for V8's compiled code of them (warm.js), and two builds at once
 * cannot mix: each works in a directory of its own and swaps it in.
 *
 * Usage: node build.js [DIRECTORY]
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'

const root = fileURLToPath(new URL('.', import.meta.url))
const dist = resolve(process.argv[2] ?? join(root, 'dist'))

/** The hot commands have ways in of their own, which do without the registration with commander. */
const HOT = ['load', 'rotation-due', 'token-check']
/** The demo runs other commands through the second world. */
const SECOND = ['demo']

/** Throws errors that only classes of the same world recognise, and the commands that write need it every time. */
const INLINE = './transaction.js'

/** The clock of `performance.now`, whose first use loads node:perf_hooks: a twentieth of a start on Node 20. */
const MONOTONIC = 'function monotonicNow(){const[s,n]=process.hrtime();return s*1e3+n/1e6}'

/** What our sources use of node:crypto; a build that misses one fails. */
const CRYPTO = ['createCipheriv', 'createDecipheriv', 'createHash', 'createHmac', 'scryptSync', 'timingSafeEqual']

const SHAPE = {
  platform: 'node',
  target: 'node20.18',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
}

/** What the commands import lazily, by the name that they require it by. */
const lazy = new Map()
const files = await Promise.all(commandNames().map(bundleCommand))
files.push(...(await splitRest()))
const work = makeWorkDirectory()
try {
  for (const { name, text } of files) writeFileSync(join(work, name), text)
  writeFileSync(join(work, 'package.json'), '{ "type": "commonjs" }\n')
  warm(work)
  swapIn(work, join(dist, 'cli'))
} finally {
  rmSync(work, { recursive: true, force: true })
}
await buildLibrary()

function commandNames() {
  const names = readdirSync(join(root, 'src/cli/commands')).map((file) => basename(file, '.ts'))
  return names.filter((name) => !SECOND.includes(name))
}

async function bundleCommand(command) {
  const outputs = await bundle({
    ...(HOT.includes(command) ? { entryPoints: [`src/cli/hot/${command}.ts`] } : { stdin: wayIn(command) }),
    entryNames: `run-${command}`,
    format: 'cjs',
    minifyIdentifiers: true,
    banner: { js: MONOTONIC },
    define: { 'performance.now': 'monotonicNow' },
    plugins: [leaveLazy(command), nativeRequire(), lateCrypto()],
  })
  const [file] = outputs
  if (outputs.length !== 1 || file.inputs.some((path) => path.includes('node_modules'))) {
    throw new Error(`the command ${command} must fit into one file and need no package`)
  }
  return file
}

/** The way in to a command that is not hot. */
function wayIn(command) {
  const add = `add${command.replace(/(?:^|-)(.)/g, (_, letter) => letter.toUpperCase())}Command`
  const contents = `
    import { ${add} } from './commands/${command}.js'
    import { runExact } from './exact.js'
    export { systemContext } from './system.js'
    export const run = (argv, context) => runExact(argv, context, ${add})`
  return { contents, resolveDir: join(root, 'src/cli'), sourcefile: `run-${command}.js` }
}

async function splitRest() {
  const entryPoints = { entry: 'src/cli/entry.ts', ...Object.fromEntries([...lazy].sort()) }
  const chunks = await bundle({
    entryPoints,
    format: 'esm',
    splitting: true,
    plugins: [nativeRequire(), spareCommander()],
  })
  return Promise.all(chunks.map(async ({ name, text }) => ({ name, text: await toCommonJs(text) })))
}

async function bundle(options) {
  const result = await build({
    ...SHAPE,
    ...options,
    absWorkingDir: root,
    outdir: join(dist, 'cli'),
    bundle: true,
    chunkNames: '[name]-[hash]',
    metafile: true,
    write: false,
    logLevel: 'warning',
  })
  const inputs = Object.keys(result.metafile.inputs)
  return result.outputFiles.map(({ path, text }) => ({ name: basename(path), text, inputs }))
}

async function toCommonJs(text) {
  return (await transform(text, { ...SHAPE, format: 'cjs', supported: { 'dynamic-import': false } })).code
}

/** Lets a command require from the second world what it imports lazily; errors of both worlds know each other by name. */
function leaveLazy(command) {
  const leave = ({ path, kind, resolveDir }) => {
    if (kind !== 'dynamic-import' || (path === INLINE && !HOT.includes(command))) return undefined
    const source = join(resolveDir, path).replace(/\.js$/, '.ts')
    const name = relative(join(root, 'src'), source).replace(/\.ts$/, '').replaceAll('/', '-')
    lazy.set(name, source)
    return { path: `./${name}.js`, external: true }
  }
  return { name: 'leave-lazy', setup: (bundler) => void bundler.onResolve({ filter: /^\./ }, leave) }
}

/** Our sources make a `require` where they need a module of Node late and at once; CommonJS has one, at no cost. */
function nativeRequire() {
  const name = 'native-require'
  const contents = 'export const createRequire = () => require'
  const take = ({ importer }) =>
    importer.startsWith(join(root, 'src')) ? { path: 'require', namespace: name } : undefined
  const setup = (bundler) => {
    bundler.onResolve({ filter: /^node:module$/ }, take)
    bundler.onLoad({ filter: /.*/, namespace: name }, () => ({ contents }))
  }
  return { name, setup }
}

/** node:crypto takes a tenth of a start to load, and asking what is due needs it only where a key is at hand. */
function lateCrypto() {
  const name = 'late-crypto'
  const contents = CRYPTO.map((one) => `export const ${one} = (...args) => require('node:crypto').${one}(...args)`)
  const setup = (bundler) => {
    bundler.onResolve({ filter: /^node:crypto$/ }, ({ namespace }) =>
      namespace === name ? { external: true } : { path: 'crypto', namespace: name },
    )
    bundler.onLoad({ filter: /.*/, namespace: name }, () => ({ contents: contents.join('\n') }))
  }
  return { name, setup }
}

/** commander starts programs only for subcommands that are files of their own; loading that costs a tenth of a start. */
function spareCommander() {
  const name = 'spare-commander'
  const take = ({ importer }) =>
    importer.includes('/node_modules/commander/') ? { path: 'none', namespace: name } : undefined
  const setup = (bundler) => {
    bundler.onResolve({ filter: /^node:child_process$/ }, take)
    bundler.onLoad({ filter: /.*/, namespace: name }, () => ({ contents: 'module.exports = {}' }))
  }
  return { name, setup }
}

/** Lets V8 compile the commands ahead (warm.js), in an environment that holds nothing of the builder's. */
function warm(directory) {
  const options = { env: { TMPDIR: tmpdir() }, stdio: ['ignore', 'ignore', 'pipe'] }
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'warm.js'), directory], options)
  if (status !== 0) console.error(`built without compiled code, since the commands do not run:\n${stderr}`)
}

/** Builds dist/lib/index.js, the library as one ESM file; its types come from tsc (tsconfig.types.json). */
async function buildLibrary() {
  const result = await build({
    absWorkingDir: root,
    entryPoints: ['src/index.ts'],
    outfile: join(dist, 'lib', 'index.js'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: SHAPE.target,
    logLevel: 'warning',
    write: false,
  })
  const [file] = result.outputFiles
  mkdirSync(join(dist, 'lib'), { recursive: true })
  const fresh = `${file.path}.${process.pid}`
  writeFileSync(fresh, file.contents)
  renameSync(fresh, file.path)
}

function makeWorkDirectory() {
  mkdirSync(dist, { recursive: true })
  const directory = mkdtempSync(join(dist, '.cli-'))
  chmodSync(directory, 0o755)
  return directory
}

/** Puts the new directory in the place of the old; a build that came first is simply replaced once more. */
function swapIn(fresh, target) {
  const old = `${fresh}-old`
  for (let attempt = 0; ; attempt += 1) {
    try {
      renameSync(target, old)
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
    try {
      renameSync(fresh, target)
      return
    } catch (error) {
      if (attempt >= 20 || !['ENOTEMPTY', 'EEXIST'].includes(error.code)) throw error
    } finally {
      rmSync(old, { recursive: true, force: true })
    }
  }
}
