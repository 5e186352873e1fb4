/** Makes the vaults that are measured: tutorial files written here, native ones by `mcpvault upgrade`. */
import { spawnSync } from 'node:child_process'
import { createCipheriv, randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The launcher under test. */
export const LAUNCHER = fileURLToPath(new URL('../bin/mcpvault.js', import.meta.url))

/** The key of every vault here. */
export const KEY = randomBytes(32).toString('hex')

/** Name of a credential; a log's oldest record is {@link OLDEST}'s. */
export const nameOf = (index) => `credential_${String(index).padStart(5, '0')}`
export const OLDEST = 'oldest'

/** The environment of every measured process: nothing of the caller's that changes how Node starts. */
export function makeEnvironment(root) {
  return {
    PATH: process.env.PATH,
    HOME: root,
    XDG_CONFIG_HOME: join(root, 'config'),
    XDG_DATA_HOME: join(root, 'data'),
    XDG_STATE_HOME: join(root, 'state'),
  }
}

/** Writes a vault of so many credentials as the tutorial's JavaScript does, and gives its path. */
export function writeTutorialVault(directory, count) {
  mkdirSync(directory, { mode: 0o700, recursive: true })
  const names = Array.from({ length: count }, (_, index) => nameOf(index))
  const vault = Object.fromEntries(names.map((name) => [name, encrypt(`the value of ${name}, ${'x'.repeat(16)}`)]))
  const path = join(directory, 'mcp_credentials.enc')
  writeFileSync(path, JSON.stringify(vault, null, 2), { mode: 0o600 })
  return path
}

/** Copies a tutorial vault and its log into a directory and upgrades the copy. */
export function upgradeCopy(path, directory, { env, log }) {
  mkdirSync(directory, { mode: 0o700, recursive: true })
  const copy = join(directory, 'mcp_credentials.enc')
  copyFileSync(path, copy)
  if (log) copyFileSync(log, join(directory, 'rotation_log.json'))
  runTool(['--vault', copy, 'upgrade'], env)
  return copy
}

/** Runs mcpvault with the key and gives what it printed. */
export function runTool(args, env) {
  const result = spawnSync(process.execPath, [LAUNCHER, ...args], {
    env: { ...env, MCP_ENCRYPTION_KEY: KEY },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  if (result.status !== 0) throw new Error(`cannot prepare a benchmark: ${args.join(' ')}\n${result.stderr}`)
  return String(result.stdout).trim()
}

function encrypt(text) {
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(KEY, 'hex'), iv)
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
  return [iv, cipher.getAuthTag(), sealed].map((part) => part.toString('hex')).join(':')
}
