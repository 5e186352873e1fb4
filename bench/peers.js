/**
 * How long other tools take to read one secret, for comparison: those that are installed, and the tutorial's own way.
 * Nothing here has a bound, since none of them promises what mcpvault does.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { KEY, nameOf } from './vaults.js'

const SECRET = 'the value of a secret'

/** The decrypting half of the tutorial's JavaScript, as a program: reads the vault, opens one value, prints it. */
const TUTORIAL = `
const { readFileSync } = require('fs')
const { createDecipheriv } = require('crypto')
const vault = JSON.parse(readFileSync(process.argv[2], 'utf8'))
const [iv, tag, sealed] = vault[process.argv[3]].split(':').map((part) => Buffer.from(part, 'hex'))
const decipher = createDecipheriv('aes-256-gcm', Buffer.from(process.env.MCP_ENCRYPTION_KEY, 'hex'), iv)
decipher.setAuthTag(tag)
console.log(Buffer.concat([decipher.update(sealed), decipher.final()]).toString('utf8'))
`

/** Gives the cases of all peers that can be run here, the names of the others, and what ends what they have started. */
export function makePeers({ root, env, few }) {
  const at = (name) => join(root, name)
  const found = [peerOfTutorial(at, few)]
  const missing = []
  let end = () => {}
  const peer = (name, tools, prepare) => {
    if (!tools.every((tool) => isInstalled(tool, env))) missing.push(name)
    else found.push({ title: `peer: ${name}`, make: prepare() })
  }
  peer('age -d', ['age', 'age-keygen'], () => prepareAge(at, env))
  peer('pass show', ['pass', 'gpg', 'gpgconf'], () => {
    const { command, gpg } = preparePass(at, env)
    end = () => spawnSync('gpgconf', ['--kill', 'all'], { env: gpg })
    return command
  })
  peer('dotenvx get', ['dotenvx'], () => prepareDotenvx(at, env))
  return { found, missing, end: () => end() }
}

function peerOfTutorial(at, vault) {
  const program = at('tutorial.js')
  writeFileSync(program, TUTORIAL)
  const command = { argv: [process.execPath, program, vault, nameOf(3)], status: 0, env: { MCP_ENCRYPTION_KEY: KEY } }
  return { title: 'peer: the tutorial in Node', make: () => command }
}

function prepareAge(at, env) {
  const [identity, file] = [at('age-identity'), at('secret.age')]
  run(['age-keygen', '-o', identity], env)
  const recipient = run(['age-keygen', '-y', identity], env).trim()
  run(['age', '-r', recipient, '-o', file], env, { input: SECRET })
  return () => ({ argv: ['age', '-d', '-i', identity, file], status: 0, env: {} })
}

function preparePass(at, env) {
  // The path of gpg-agent's socket must be short.
  const gpg = { ...env, GNUPGHOME: at('g'), PASSWORD_STORE_DIR: at('pass') }
  mkdirSync(gpg.GNUPGHOME, { mode: 0o700 })
  run(['gpg', '--batch', '--quiet', '--passphrase', '', '--quick-gen-key', 'bench', 'default', 'default'], gpg)
  run(['pass', 'init', 'bench'], gpg)
  run(['pass', 'insert', '--multiline', 'secret'], gpg, { input: SECRET })
  const { GNUPGHOME, PASSWORD_STORE_DIR } = gpg
  return {
    gpg,
    command: () => ({ argv: ['pass', 'show', 'secret'], status: 0, env: { GNUPGHOME, PASSWORD_STORE_DIR } }),
  }
}

function prepareDotenvx(at, env) {
  mkdirSync(at('dotenvx'))
  const file = at('dotenvx/.env')
  writeFileSync(file, '')
  // It leaves its key in the working directory.
  run(['dotenvx', 'set', 'SECRET', SECRET, '-f', file, '-fk', `${file}.keys`], env, { cwd: at('dotenvx') })
  return () => ({ argv: ['dotenvx', 'get', 'SECRET', '-f', file, '-fk', `${file}.keys`], status: 0, env: {} })
}

function isInstalled(tool, { PATH }) {
  return PATH.split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function run([file, ...args], env, { input = '', cwd } = {}) {
  const { status, stdout, stderr } = spawnSync(file, args, { env, input, cwd })
  if (status !== 0) throw new Error(`cannot prepare a benchmark: ${file} ${args[0]}\n${stderr}`)
  return String(stdout)
}
