import type { Command } from 'commander'
import { closeSync } from 'node:fs'
import { VaultError } from '../../errors.js'
import { type ArgumentTemplates, argumentCredentials, fillArguments, parseArguments } from '../../exec/arguments.js'
import {
  type Assignment,
  checkVariables,
  childEnvironment,
  parseAssignment,
  variableText,
} from '../../exec/environment.js'
import { type HolderEntry, registerHolder } from '../../exec/holders.js'
import { borrow, type Loan, recordLeaks } from '../../exec/loan.js'
import { createPrivateFolder, type PrivateFolder, sweepPrivateFolders } from '../../exec/private-folder.js'
import { type RunEnd, runForeground, type Sink } from '../../exec/run.js'
import { SignalRelay } from '../../exec/signals.js'
import { SecretForms } from '../../redact/find.js'
import { describeSystemError } from '../../storage/io-error.js'
import type { VaultAccess } from '../../vault/vault.js'
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
  /** Whether arguments hold references to credentials. */
  readonly fillArgs: boolean
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
      key: 'fillArgs',
      long: '--fill-args',
      help: 'fill {{ vault "NAME" }} in the arguments, which other users can read',
    },
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
  const run: Run = { options, context, program }
  const templates = options.fillArgs ? parseArguments(program) : undefined
  const names = [...assigned.map(({ name }) => name), ...argumentCredentials(templates ?? [])]
  if (names.length > 0) return runWith(await borrowFor(names, options, context), { ...run, templates })
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
  /** The program's words as they are to be filled; undefined when they are taken as they stand. */
  readonly templates?: ArgumentTemplates | undefined
}

interface Lent {
  readonly access: VaultAccess
  readonly loan: Loan
}

async function borrowFor(names: readonly string[], options: ExecOptions, context: Context): Promise<Lent> {
  const { vault, access } = await openForReading(options, context, 'needed')
  // The program would inherit the descriptor, and could read the key from it once more.
  if (options.keyFd !== undefined && options.keyFd > 2) closeQuietly(options.keyFd)
  return { access, loan: borrow(names, vault, context.now()) }
}

async function runWith({ access, loan }: Lent, { templates, ...given }: Run): Promise<number> {
  const filled = templates && fillArguments(templates, (name) => loan.valueOf(name))
  const run = { ...given, program: filled ?? given.program }
  const { options, context, program } = run
  const texts = variableTexts(options.variables, loan)
  const relay = new SignalRelay((name, listener) => context.onSignal(name, listener))
  let [folder, entry]: [PrivateFolder?, HolderEntry?] = []
  try {
    entry = await registerHolder(access, { command: 'exec', program: program[0], credentials: loan.held }, context.host)
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
    await recordLeaks(end.found, loan, access)
    return end.status
  } finally {
    if (folder) removeFolder(folder, access.warn)
    await entry?.release()
    relay.end()
  }
}

function variableTexts(variables: readonly Assignment[], loan: Loan): Record<string, string> {
  return Object.fromEntries(variables.map(({ variable, name }) => [variable, variableText(loan.valueOf(name), name)]))
}

interface Start extends Run {
  readonly relay: SignalRelay
  readonly forms?: SecretForms | undefined
}

function start(env: Record<string, string>, { context, program, relay, forms }: Start): Promise<RunEnd> {
  const { stdout, stderr } = context
  const mask = forms && { forms, stdout: sinkOf(stdout), stderr: sinkOf(stderr) }
  return runForeground(program, { env, world: context, relay, mask })
}

function sinkOf(output: Output): Sink {
  return {
    write: async (bytes) => (output.writeLater ? output.writeLater(bytes) : output.write(bytes)),
    isClosed: () => output.isClosed === true,
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
