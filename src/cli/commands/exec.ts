import type { Command } from 'commander'
import { closeSync } from 'node:fs'
import { VaultError } from '../../errors.js'
import {
  type Assignment,
  checkVariables,
  childEnvironment,
  parseAssignment,
  variableText,
} from '../../exec/environment.js'
import { type HeldCredential, type HolderEntry, registerHolder } from '../../exec/holders.js'
import { createPrivateFolder, type PrivateFolder, sweepPrivateFolders } from '../../exec/private-folder.js'
import { type RunEnd, runForeground, type Sink } from '../../exec/run.js'
import { SignalRelay } from '../../exec/signals.js'
import { SecretForms } from '../../redact/find.js'
import type { Secret } from '../../secret.js'
import { describeSystemError } from '../../storage/io-error.js'
import { changeVault } from '../../vault/change.js'
import { unknownName } from '../../vault/name.js'
import { openVault } from '../../vault/open.js'
import type { Vault, VaultAccess } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context, Output } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'

/** Options of `exec`. */
export interface ExecOptions extends GlobalOptions {
  /** Credentials that go into variables. */
  readonly variables: readonly Assignment[]
  /** Credentials that go into files, whose paths go into variables. */
  readonly files: readonly Assignment[]
  readonly mask: boolean
  readonly allowDangerousEnv: boolean
  /** The program and its arguments; undefined without `--`. */
  readonly program?: readonly string[]
}

const EXEC: CommandShape<ExecOptions> = {
  name: 'exec',
  flags: [
    {
      key: 'variables',
      long: '--env',
      short: '-e',
      value: 'ENV=NAME',
      help: 'put a credential into a variable; may be repeated',
      isList: true,
      parse: parseAssignment,
    },
    {
      key: 'files',
      long: '--file',
      value: 'ENV=NAME',
      help: 'put a credential into a private file and its path into a variable',
      isList: true,
      parse: parseAssignment,
    },
    { key: 'mask', long: '--mask', help: 'take the values out of what the program prints' },
    {
      key: 'allowDangerousEnv',
      long: '--allow-dangerous-env',
      help: 'let a value decide what runs: PATH, LD_PRELOAD, NODE_OPTIONS, …',
    },
  ],
  tail: { key: 'program', placeholder: 'CMD [ARG…]' },
  refuseExtra: 'cannot run exec: the program and its arguments stand behind "--"',
  examples: [
    ['start an MCP server with its key', 'mcpvault exec -e GITHUB_TOKEN=github_token -- npx -y some-github-mcp'],
    ['a program that wants a file', 'mcpvault exec --file GOOGLE_APPLICATION_CREDENTIALS=gcp -- gcloud-thing'],
    ['keep the value out of a CI log', 'mcpvault exec --mask -e TOKEN=deploy_token -- ./deploy.sh'],
  ],
}

/** Registers `exec`. */
export function addExecCommand(parent: Command, context: Context, run = runExec): void {
  addCommand(parent, EXEC, (options) => run(options, context))
}

/** Runs a program with credentials, as if it stood in the place of mcpvault, and gives its exit status. */
export async function runExec(options: ExecOptions, context: Context): Promise<number> {
  const { variables, files, program = [] } = options
  if (program.length === 0) {
    throw new VaultError('USAGE', 'cannot run exec: no program stands behind "--"', {
      hints: ['mcpvault exec -e VARIABLE=NAME -- PROGRAM ARGUMENTS'],
    })
  }
  const assigned = [...variables, ...files]
  const allowDangerous = options.allowDangerousEnv
  checkVariables(
    assigned.map(({ variable }) => variable),
    { allowDangerous },
  )
  sweepPrivateFolders(context)
  const run = { options, context, program }
  if (assigned.length > 0) return runWith(await borrow(assigned, options, context), run)
  const relay = new SignalRelay((name, listener) => context.onSignal(name, listener))
  try {
    return (await start(childEnvironment(context.env), { ...run, relay })).status
  } finally {
    relay.end()
  }
}

interface Run {
  readonly options: ExecOptions
  readonly context: Context
  readonly program: readonly string[]
}

async function runWith(loan: Loan, run: Run): Promise<number> {
  const { options, context, program } = run
  const texts = variableTexts(options.variables, loan)
  const relay = new SignalRelay((name, listener) => context.onSignal(name, listener))
  let [folder, entry]: [PrivateFolder?, HolderEntry?] = []
  try {
    const holding = { command: 'exec', program: program[0], credentials: loan.held }
    entry = await registerHolder(loan.access, holding, context.host)
    relay.throwIfCancelled()
    const env = { ...childEnvironment(context.env), ...texts }
    if (options.files.length > 0) folder = createPrivateFolder(context)
    for (const { variable, name } of options.files) {
      env[variable] = folder?.add(variable, loan.valueOf(name).reveal()) ?? ''
    }
    const forms = options.mask ? new SecretForms(loan.held.map(({ name }) => loan.valueOf(name))) : undefined
    for (const { name } of loan.held) loan.valueOf(name).wipe()
    const end = await start(env, { ...run, relay, forms })
    forms?.wipe()
    await reportLeaks(end, loan)
    return end.status
  } finally {
    if (folder) removeFolder(folder, loan.access.warn)
    await entry?.release()
    relay.end()
  }
}

/** Credentials that were loaded for a program. */
interface Loan {
  readonly access: VaultAccess
  /** Each once. */
  readonly held: readonly HeldCredential[]
  valueOf(name: string): Secret
}

async function borrow(assigned: readonly Assignment[], options: ExecOptions, context: Context): Promise<Loan> {
  const { vault, access } = await openForReading(options, context, 'needed')
  // The program would inherit the descriptor, and could read the key from it once more.
  if (options.keyFd !== undefined && options.keyFd > 2) closeQuietly(options.keyFd)
  const names = [...new Set(assigned.map(({ name }) => name))]
  refuseMissing(names, vault)
  const values = new Map(names.map((name) => [name, vault.load(name, { nowMs: context.now() })]))
  return {
    access,
    held: names.map((name) => ({ name, version: currentVersion(vault, name) })),
    valueOf: (name) => values.get(name) as Secret,
  }
}

function refuseMissing(names: readonly string[], vault: Vault): void {
  const missing = names.filter((name) => vault.describe(name) === undefined)
  const [first] = missing
  if (first === undefined) return
  if (missing.length === 1) throw unknownName(first, vault.names())
  const list = missing.map((name) => `"${name}"`).join(', ')
  throw new VaultError('NOT_FOUND', `no credentials are named ${list}`, { hints: ['mcpvault list'] })
}

function currentVersion(vault: Vault, name: string): number | undefined {
  return vault.describe(name)?.versions.find(({ stage }) => stage === 'current')?.version
}

function variableTexts(variables: readonly Assignment[], loan: Loan): Record<string, string> {
  return Object.fromEntries(variables.map(({ variable, name }) => [variable, variableText(loan.valueOf(name), name)]))
}

interface Start extends Run {
  readonly relay: SignalRelay
  readonly forms?: SecretForms | undefined
}

function start(env: Record<string, string>, { context, program, relay, forms }: Start): Promise<RunEnd> {
  const { host, stdout, stderr } = context
  const mask = forms && { forms, stdout: sinkOf(stdout), stderr: sinkOf(stderr) }
  return runForeground(program, { env, host, relay, mask })
}

function sinkOf(output: Output): Sink {
  return {
    write: async (bytes) => (output.writeLater ? output.writeLater(bytes) : output.write(bytes)),
    isClosed: () => output.isClosed === true,
  }
}

/** A value in the program's output is a leak: whatever made it print the value may print it elsewhere unmasked. */
async function reportLeaks({ found }: RunEnd, { access, held }: Loan): Promise<void> {
  for (const { name, version } of held.filter((_, index) => found.has(index))) {
    const what = `the program printed the value of "${name}", which was masked`
    try {
      if (version === undefined || currentVersion(openVault(access), name) !== version) access.warn(what)
      else {
        await changeVault(access, 'exec', (draft) => draft.markLeaked(name, { reason: 'masked in the output of exec' }))
        access.warn(`${what}: it counts as leaked, and is due until it is rotated`)
      }
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      access.warn(`${what}; that it has leaked could not be recorded: ${error.message}`)
    }
  }
}

function removeFolder(folder: PrivateFolder, warn: (message: string) => void): void {
  try {
    folder.remove()
  } catch (error) {
    warn(`a private file of this program could not be removed: ${describeSystemError(error)}`)
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // Closed already.
  }
}
