/**
 * Builds dist/cli, the command line as CommonJS, which Node starts faster than ESM (docs/decisions/), and dist/lib, the
 * library.
 *
 * Each file holds all that it needs, since every further file costs a part of a millisecond: `run-*.js` are the commands,
 * `entry.js` is everything, for the command lines that need commander. Only what a command may never need is a file of
 * its own, loaded when it is needed (`DOORS`). So one process can hold several copies of our classes; errors know each
 * other by name, and nothing else of ours passes through a door.
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
import { build } from 'esbuild'

const root = fileURLToPath(new URL('.', import.meta.url))
const dist = resolve(process.argv[2] ?? join(root, 'dist'))

/** The hot commands have ways in of their own, which do without the registration with commander. */
const HOT = ['load', 'rotation-due', 'token-check']
/** These use commander, or run other commands. */
const ENTRY_ONLY = ['completion', 'demo', 'help']

/** What is imported lazily and brings a package with it. */
const DOORS = [
  'cli/output',
  'cli/prompt',
  'http',
  'clients/jsonc',
  'clients/toml',
  'crypto/age',
  'gateway/config',
  'gateway/config-file',
  'gateway/serve',
]
/** What the hot commands, which never write and hardly ever meet an interrupted rotation, leave out too. */
const SELDOM = ['storage/transaction', 'rotation/stuck']

/** The clock of `performance.now`, whose first use loads node:perf_hooks: a twentieth of a start on Node 20. */
const MONOTONIC = 'function monotonicNow(){const[s,n]=process.hrtime();return s*1e3+n/1e6}'

/** What our sources use of the modules of Node that take long to load; a build that misses one fails. */
const LATE = {
  'node:crypto': ['createCipheriv', 'createDecipheriv', 'createHash', 'createHmac', 'scryptSync', 'timingSafeEqual'],
  'node:child_process': ['spawn', 'spawnSync'],
}

const SHAPE = {
  format: 'cjs',
  platform: 'node',
  target: 'node20.18',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  // Code that V8 has compiled before (bin/mcpvault.js) has no import(), only a require.
  supported: { 'dynamic-import': false },
}

/** For files that hold our code and no foreign code that looks at clocks. */
const OURS = { banner: { js: MONOTONIC }, define: { 'performance.now': 'monotonicNow' } }

const files = await Promise.all([
  ...commandNames().map(bundleCommand),
  bundleEntry(),
  ...[...DOORS, ...SELDOM].map(bundleDoor),
])
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
  return names.filter((name) => !ENTRY_ONLY.includes(name))
}

async function bundleCommand(command) {
  const isHot = HOT.includes(command)
  const file = await bundle(`run-${command}`, {
    ...OURS,
    ...(isHot ? { entryPoints: [`src/cli/hot/${command}.ts`] } : { stdin: wayIn(command) }),
    minifyIdentifiers: true,
    plugins: [leave(isHot ? [...DOORS, ...SELDOM] : DOORS), nativeRequire(), loadLate()],
  })
  if (file.inputs.some((path) => path.includes('node_modules'))) throw new Error(`${command} must need no package`)
  return file
}

function bundleEntry() {
  const plugins = [leave(DOORS), nativeRequire(), spareCommander(), loadLate()]
  return bundle('entry', { ...OURS, entryPoints: ['src/cli/entry.ts'], plugins })
}

function bundleDoor(path) {
  // Some packages hold a build that only bundlers can follow, as "module", and one that they cannot, as "main".
  const mainFields = ['module', 'main']
  return bundle(doorName(path), { entryPoints: [`src/${path}.ts`], mainFields, plugins: [nativeRequire()] })
}

function doorName(path) {
  return path.replaceAll('/', '-')
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

async function bundle(name, options) {
  const result = await build({
    ...SHAPE,
    ...options,
    absWorkingDir: root,
    outdir: join(dist, 'cli'),
    entryNames: name,
    bundle: true,
    metafile: true,
    write: false,
    logLevel: 'warning',
  })
  return { name: `${name}.js`, text: result.outputFiles[0].text, inputs: Object.keys(result.metafile.inputs) }
}

/** Leaves doors out of a file, to be required when they are needed. */
function leave(doors) {
  const take = ({ path, kind, resolveDir }) => {
    const door = relative(join(root, 'src'), join(resolveDir, path)).replace(/\.js$/, '')
    return kind === 'dynamic-import' && doors.includes(door)
      ? { path: `./${doorName(door)}.js`, external: true }
      : undefined
  }
  return { name: 'leave', setup: (bundler) => void bundler.onResolve({ filter: /^\./ }, take) }
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

/**
 * node:crypto and node:child_process take a tenth of a start each to load. Asking what is due needs the first only where a
 * key is at hand, and a rotation the second only where its policy names a program.
 */
function loadLate() {
  const name = 'load-late'
  const setup = (bundler) => {
    bundler.onResolve({ filter: /^node:(crypto|child_process)$/ }, ({ path, namespace, importer }) => {
      if (namespace === name) return { external: true }
      return importer.includes('/node_modules/') ? undefined : { path, namespace: name }
    })
    bundler.onLoad({ filter: /.*/, namespace: name }, ({ path }) => ({
      contents: LATE[path]
        .map((one) => `export const ${one} = (...args) => require('${path}').${one}(...args)`)
        .join('\n'),
    }))
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
