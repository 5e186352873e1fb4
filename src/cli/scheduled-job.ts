/** What a timer runs: the whole command, made so that it works without this terminal and its environment. */

import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { isSystemError, VaultError } from '../errors.js'
import { isLoopbackHost } from '../gateway/guards.js'
import { rawKeyId } from '../vault/key.js'
import { followLinks } from '../storage/resolve-target.js'
import { readSlots } from '../vault/slots.js'
import type { Context } from './context.js'
import { absolutePath, mcpvaultDirectory } from './directories.js'
import type { GlobalOptions } from './flags.js'
import type { ListenAddress } from './gateway-config.js'
import { defaultKeyFile, type FoundKey, findGivenKey, type GivenKey, readKeyFile } from './key-source.js'
import { createAccess, findVault } from './open-vault.js'
import type { TimedCommand } from './schedule-text.js'
import type { LastingCommand } from './service-unit.js'

/** A job that can be scheduled. */
export interface Job {
  readonly summary: string
  readonly argv: readonly string[]
  /** What shows without any effect that it would work, for `doctor --as-cron`. */
  readonly rehearsals: readonly (readonly string[])[]
  readonly needsKey: boolean
}

/** The jobs, by what the user types. */
export const JOBS = {
  'rotation-due': {
    summary: 'says what is due for rotation',
    // "Nothing is due" is no failure of a timer.
    argv: ['rotation-due', '--exit-zero'],
    rehearsals: [['rotation-due', '--exit-zero']],
    needsKey: false,
  },
  rotate: {
    summary: 'rotates what is due and needs no person',
    argv: ['rotate', '--due'],
    rehearsals: [
      ['key', 'check'],
      ['rotate', '--due', '--dry-run'],
    ],
    needsKey: true,
  },
} as const satisfies Readonly<Record<string, Job>>

/** What is no job of a timer, but lasts. */
const SERVE: Job = {
  summary: 'stands in front of MCP servers',
  argv: ['serve'],
  rehearsals: [],
  needsKey: true,
}

/** What a timer runs, and what rehearses it. */
export interface PlannedJob extends TimedCommand {
  readonly rehearsals: readonly (readonly string[])[]
}

/**
 * Puts together what keeps the gateway running, as the user who asks.
 *
 * @throws {VaultError} as {@link planJob}
 */
export function planService(options: ServiceOptions, context: Context): LastingCommand {
  const vault = findVault(options, context)
  const { config, listen } = options
  const more = [
    ...(config === undefined ? [] : ['--config', requireConfig(absolutePath(config, context))]),
    ...(listen === undefined ? [] : ['--listen', `${requireLoopback(listen).host}:${listen.port}`]),
  ]
  const { argv, ...job } = planJob('serve', options, context)
  const log = options.log ?? context.env.MCPVAULT_LOG
  const written = [vault, ...(log ? [absolutePath(log, context)] : [])].map((path) => dirname(followLinks(path)))
  return {
    ...job,
    argv: [...argv, ...more],
    user: context.host.user.split('@')[0] ?? '',
    writes: [...new Set([...written, mcpvaultDirectory('XDG_STATE_HOME', context)])],
  }
}

/** What the gateway is to be started with. */
export interface ServiceOptions extends GlobalOptions {
  readonly config?: string
  readonly listen?: ListenAddress
}

/** A unit whose gateway finds no configuration would be started again and again. @throws {VaultError} NOT_FOUND */
function requireConfig(path: string): string {
  if (isThere(path)) return path
  throw new VaultError('NOT_FOUND', `cannot schedule "serve": there is no gateway configuration at "${path}"`)
}

/** @throws {VaultError} USAGE for an address that other machines reach */
function requireLoopback(listen: ListenAddress): ListenAddress {
  if (isLoopbackHost(listen.host)) return listen
  throw new VaultError('USAGE', 'cannot schedule "serve" there: other machines could connect, which takes TLS', {
    hints: ['print it without --listen, and write --listen, --allow-remote, --tls-cert and --tls-key into ExecStart='],
  })
}

/** The name of a job. */
export type JobName = keyof typeof JOBS

/** What a user's environment says that a timer's would not, and that changes what mcpvault does. */
const CARRIED_VARIABLES = ['XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'SCAVIO_BASE_URL']

/**
 * Puts together what a timer runs: absolute paths, and a key source that is there without this environment.
 *
 * @throws {VaultError} NOT_FOUND if there is no vault, NO_KEY if the job needs a key and none would be found.
 */
export function planJob(name: JobName | 'serve', options: GlobalOptions, context: Context): PlannedJob {
  const job = name === 'serve' ? SERVE : JOBS[name]
  const vault = findVault(options, context)
  const source = job.needsKey ? keySource({ vault, name }, options, context) : { flags: [], environment: {} }
  const log = options.log ?? context.env.MCPVAULT_LOG
  const flags = [
    ...['--vault', vault],
    ...(log ? ['--log', absolutePath(log, context)] : []),
    ...(options.assumeTz === undefined ? [] : ['--assume-tz', options.assumeTz]),
    ...source.flags,
    '--no-input',
  ]
  const carried = CARRIED_VARIABLES.flatMap((variable) => {
    const value = context.env[variable]
    return value ? [[variable, value] as const] : []
  })
  // What was seen and confirmed here lies below it; a timer's is that of the account.
  const home = context.home === context.host.accountHome ? {} : { HOME: context.home }
  return {
    unit: `mcpvault-${name}`,
    summary: job.summary,
    argv: [...context.host.launcher, ...job.argv, ...flags],
    rehearsals: job.rehearsals.map((argv) => [...context.host.launcher, ...argv, ...flags]),
    environment: { ...home, ...Object.fromEntries(carried), ...source.environment },
  }
}

interface KeySource {
  readonly flags: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

/** Finds a key source that a timer has too: a file, or a program. */
function keySource(
  { vault, name }: { readonly vault: string; readonly name: string },
  options: GlobalOptions,
  context: Context,
): KeySource {
  const { env } = context
  const found = findGivenKey(options, context, { isPassive: true, warn: () => {} })
  if (options.envFile !== undefined && found?.path !== undefined) {
    return { flags: ['--env-file', found.path], environment: {} }
  }
  const isVolatile = env.CREDENTIALS_DIRECTORY && found?.path?.startsWith(env.CREDENTIALS_DIRECTORY)
  if (found?.path !== undefined && !isVolatile && fits(found, vault, { options, context })) return keyFile(found.path)
  const command = env.MCP_ENCRYPTION_KEY_COMMAND
  if (found === undefined && command) return { flags: [], environment: { MCP_ENCRYPTION_KEY_COMMAND: command } }
  const path = defaultKeyFile(context)
  if (found !== undefined && !found.isImplicit && isThere(path) && holdsSame(found.key, path, context))
    return keyFile(path)
  throw new VaultError('NO_KEY', `cannot schedule "${name}": a timer would find no key`, {
    hints: [
      found === undefined || found.isImplicit
        ? 'keep the key in a file that only you can read, and give --key-file FILE'
        : `${found.source} is not there at night: keep the key in a file that only you can read, and give --key-file FILE`,
      'all places in order: mcpvault help environment',
    ],
  })
}

function keyFile(path: string): KeySource {
  return { flags: ['--key-file', path], environment: {} }
}

interface Asking {
  readonly options: GlobalOptions
  readonly context: Context
}

/** A default key file may belong to another vault; one that was named is taken as it is, and `doctor --as-cron` tries it. */
function fits(found: FoundKey<GivenKey>, vault: string, { options, context }: Asking): boolean {
  const { key } = found
  if (!found.isImplicit || key.type !== 'raw') return true
  const slots = readSlots(createAccess(vault, options, { context, warn: () => {} }).store)
  if (slots === undefined) return true
  const kid = rawKeyId(key.bytes.reveal())
  return slots.some((slot) => slot.type === 'raw' && slot.kid === kid)
}

function holdsSame(key: GivenKey, path: string, context: Context): boolean {
  try {
    const other = readKeyFile(path, context, () => {})?.key
    return key.type === 'raw' && other?.type === 'raw' && other.bytes.reveal().equals(key.bytes.reveal())
  } catch (error) {
    if (error instanceof VaultError) return false
    throw error
  }
}

function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    if (isSystemError(error, 'EACCES', 'ENOTDIR')) return false
    throw error
  }
}
