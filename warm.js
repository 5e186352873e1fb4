/**
 * Runs every command once, in a folder of its own, and leaves V8's compiled code beside each command's file, named after
 * this Node: bin/mcpvault.js then starts without compiling (docs/decisions/0002-start-up.md). V8 keeps only the functions
 * that have run, so the commands are really run. The source goes with the code, since V8 compares nothing but lengths.
 *
 * Usage: node warm.js DIRECTORY, without MCP* in the environment; its output is to be thrown away.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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
  await run('help', ['exit-codes'])
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
  writeFileSync(join(directory, `run-${name}.js.${process.version}.${process.arch}`), compiled)
}

/** The life of a credential and a token. */
async function play(format) {
  delete process.env.MCP_ENCRYPTION_KEY
  mkdirSync(join(folder, format), { mode: 0o700 })
  const vault = ['--vault', join(folder, format, 'mcp_credentials.enc')]
  const printed = await run('init', [...vault, '--format', format, '--print-key'])
  process.env.MCP_ENCRYPTION_KEY = /MCP_ENCRYPTION_KEY='?([^'\s]+)/.exec(printed)[1]
  await run('store', [...vault, 'name', '--generate'])
  await run('rotate', [...vault, 'name', '--generate'])
  await run('load', [...vault, 'name'])
  await run('rotation-due', [...vault, 'name'], 1)
  await run('list', vault)
  await run('history', [...vault, 'name'])
  await run('export', vault)
  await run('log-show', vault)
  await run('log-verify', vault)
  process.env.MCPVAULT_TOKEN = (await run('token-create', [...vault, '--tools', 'tool', '--label', 'label'])).trim()
  await run('token-check', [...vault, '--tool', 'tool'])
  await run('token-narrow', ['--ttl', '1m'])
  await run('token-show', vault)
  await run('token-list', vault)
  await run('token-revoke', [...vault, 'label'])
  if (format === 'native') await run('rollback', [...vault, 'name'])
  await run('remove', [...vault, 'name', '--yes'])
  if (format !== 'native') await run('upgrade', vault)
}

async function run(name, args, expected = 0) {
  if (!scripts.has(name)) scripts.set(name, load(name))
  const { command } = scripts.get(name)
  let printed = ''
  const real = command.systemContext()
  const write = (text) => {
    printed += text
    real.stdout.write(text)
  }
  const context = Object.create(real, { stdout: { value: { isTerminal: false, columns: 80, write } } })
  const words = name.startsWith('token-') || name.startsWith('log-') ? name.split('-') : [name]
  const status = await command.run([...words, ...args], context)
  if (status !== expected) throw new Error(`cannot warm "${name}": it ended with ${status}`)
  return printed
}

/** As bin/mcpvault.js does it. */
function load(name) {
  const filename = join(directory, `run-${name}.js`)
  const source = `(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`
  const script = new Script(source, { filename })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, require, module)
  return { script, source, command: module.exports }
}
