/**
 * Runs every command once, in a folder of its own, and leaves V8's compiled code beside each command's file, named after
 * this Node: bin/mcpvault.js then starts without compiling (docs/decisions/0002-start-up.md). V8 keeps only the functions
 * that have run, so the commands are really run. The source goes with the code, since V8 compares nothing but lengths.
 *
 * Usage: node warm.js DIRECTORY, without MCP* in the environment; its output is to be thrown away.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Script } from 'node:vm'

const directory = resolve(process.argv[2])
const require = createRequire(join(directory, 'package.json'))
const scripts = new Map()

const folder = mkdtempSync(join(tmpdir(), 'mcpvault-warm-'))
Object.assign(process.env, { XDG_CONFIG_HOME: join(folder, 'config'), XDG_STATE_HOME: join(folder, 'state') })
process.chdir(folder)
try {
  for (const format of ['native', 'aes-256-gcm']) await play(format)
  for (const line of ['--help', '--version', 'help exit-codes', 'rotate --help', 'token --help'])
    await run(line.split(' '))
  await run(['rotate', '--nope'], [2])
} finally {
  rmSync(folder, { recursive: true, force: true })
}
for (const [name, { script, source }] of scripts) {
  const code = script.createCachedData()
  const end = 8 + code.length
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32LE(end + source.length, 0)
  lengths.writeUInt32LE(end, 4)
  const compiled = Buffer.concat([lengths, code, Buffer.from(source, 'latin1')])
  writeFileSync(join(directory, `${name}.js.${process.version}.${process.arch}`), compiled)
}

/** The life of a credential and a token. */
async function play(format) {
  delete process.env.MCP_ENCRYPTION_KEY
  mkdirSync(join(folder, format), { mode: 0o700 })
  process.env.MCPVAULT_FILE = join(folder, format, 'mcp_credentials.enc')
  const printed = await run(['init', '--format', format, '--print-key'])
  process.env.MCP_ENCRYPTION_KEY = /MCP_ENCRYPTION_KEY='?([^'\s]+)/.exec(printed)[1]
  await run(['key', 'check'])
  await run(['status'])
  if (format === 'native') await run(['key', 'list'])
  await run(['store', 'name', '--generate'])
  await run(['rotate', 'name', '--generate'])
  await run(['load', 'name'])
  await run(['rotation-due', 'name'], [1])
  await run(['policy', 'show', 'name'])
  await run(['uses', 'name'])
  if (format === 'native') {
    await run(['policy', 'set', 'name', '--max-age', '7d'])
    await run(['policy', 'clear', 'name'])
    await run(['exec', '-e', 'KEY=name', '--', process.execPath, '-e', ''])
    writeFileSync(join(folder, 'template'), '{{ vault "name" }}')
    await run(['inject', '-i', 'template', '-o', 'filled'])
    await run(['leaked', 'name'])
    await run(['headers', '--header', 'Authorization: Bearer {{ vault "name" }}'])
    await run(['log', 'settle'])
    writeFileSync(join(folder, 'mcp.json'), '{"mcpServers":{"a":{"command":"b","env":{"A_TOKEN":"ghp_0123456789"}}}}')
    await run(['adopt', 'mcp.json', '--dry-run'])
    await run(['rotate', 'name', '--dry-run'])
    await run(['rotate', '--due'])
    const config = join(folder, 'mcpvault.json')
    writeFileSync(config, '{"mcpServers":{"a":{"url":"https://upstream.example/mcp"}}}', { mode: 0o600 })
    await run(['config', 'allow', '--config', config, '--yes'])
    await run(['config', 'show', '--config', config])
    await run(['headers', 'a', '--tools', 'b'])
  }
  await run(['list'])
  await run(['history', 'name'])
  await run(['export'])
  await run(['log', 'show'])
  await run(['log', 'verify'])
  process.env.MCPVAULT_TOKEN = (await run(['token', 'create', '--tools', 'tool', '--label', 'label'])).trim()
  await run(['token', 'check', '--tool', 'tool'])
  await run(['token', 'narrow', '--ttl', '1m'])
  await run(['token', 'show'])
  await run(['token', 'list'])
  await run(['token', 'revoke', 'label'])
  if (format === 'native') {
    await run(['rollback', 'name'])
    await run(['key', 'add', '--label', 'safe', '--new-key-file', join(folder, 'safe.key')])
    await run(['key', 'rotate', '--drop-slots', 'safe'])
    await run(['key', 'add', '--label', 'safe', '--new-key-file', join(folder, 'safe.key')])
    await run(['key', 'remove', 'safe', '--yes'])
    await run(['key', 'identity', join(folder, 'identity')])
  }
  await run(['rename', 'name', 'other'])
  await run(['remove', 'other', '--yes'])
  writeFileSync(join(folder, '.env'), 'NAME=value\n')
  await run(['import', '.env'])
  await run(['scan', '.env'])
  await run(['schedule', 'rotation-due'])
  // What is examined may be found wanting.
  await run(['doctor'], [0, 1])
  if (existsSync(join(directory, 'run-restore.js'))) {
    await run(['backup', join(folder, `${format}-backup`)])
    await run(['restore', join(folder, `${format}-backup`), '--yes'])
  }
  if (format !== 'native') await run(['upgrade'])
}

async function run(argv, statuses = [0]) {
  const name = findFile(argv)
  if (!scripts.has(name)) scripts.set(name, load(name))
  const { exported } = scripts.get(name)
  let printed = ''
  const real = exported.systemContext()
  const write = (text) => {
    printed += text
    real.stdout.write(text)
  }
  const context = Object.create(real, { stdout: { value: { isTerminal: false, columns: 80, write } } })
  const status = await (exported.run ?? exported.main)(argv, context)
  if (!statuses.includes(status)) throw new Error(`cannot warm "${argv.join(' ')}": it ended with ${status}`)
  return printed
}

/** As bin/mcpvault.js finds it, for lines that begin with the command. */
function findFile(argv) {
  const names = [`run-${argv[0]}`, `run-${argv[0]}-${argv[1]}`]
  const name = argv[1] === '--help' ? undefined : names.find((one) => existsSync(join(directory, `${one}.js`)))
  return name !== undefined && argv[1] !== '--nope' ? name : 'entry'
}

/** As bin/mcpvault.js loads it. */
function load(name) {
  const filename = join(directory, `${name}.js`)
  const source = `(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`
  const script = new Script(source, { filename })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, require, module)
  return { script, source, exported: module.exports }
}
