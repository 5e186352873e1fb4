/**
 * What would fail at three in the morning: the commands that `schedule` prints are run without effect as cron runs them,
 * in an empty environment, without a terminal and without D-Bus.
 *
 * @module
 */

import { accessSync, constants, existsSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { type Finding, findingOf } from '../doctor/finding.js'
import { VaultError } from '../errors.js'
import { requirePinned } from '../rotation/probe.js'
import { type Argv, parseHook, parseProbe, parseProvider, parseTarget } from '../rotation/spec.js'
import { locateFile, type RotationWorld, runProgram } from '../rotation/programs.js'
import { followLinks } from '../storage/resolve-target.js'
import { openVault } from '../vault/open.js'
import type { Credential, VaultAccess } from '../vault/vault.js'
import { shellWord } from '../vault/name.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { formatCron } from './schedule-text.js'
import { JOBS, type JobName, planJob } from './scheduled-job.js'
import { rotationWorld } from './rotation-world.js'

/** What cron gives to whom it starts (crontab(5), and Debian's PATH). */
const CRON_PATH = '/usr/bin:/bin'
const MAX_OUTPUT_BYTES = 1024 * 1024
const ANY_RHYTHM = { everySeconds: 3600, minute: 0, hour: 0 }

/** Rehearses every job that can be scheduled. */
export async function rehearse(
  access: VaultAccess,
  options: GlobalOptions,
  context: Context,
): Promise<readonly Finding[]> {
  const world = cronWorld(access, options, context)
  const findings: Finding[] = []
  for (const name of Object.keys(JOBS) as JobName[])
    findings.push(...(await rehearseJob(name, world, { options, context })))
  return [
    ...findings,
    ...missingPrograms(access, world, { options, context }),
    ...missingFiles(access, options, context),
  ]
}

function cronWorld(access: VaultAccess, options: GlobalOptions, context: Context): RotationWorld {
  const { host } = context
  const home = host.accountHome
  const environment = { HOME: home, LOGNAME: host.user.split('@')[0] ?? '', SHELL: '/bin/sh', PATH: CRON_PATH }
  return { ...rotationWorld(access.store.locate('vault'), options, context), directory: home, environment }
}

interface Asking {
  readonly options: GlobalOptions
  readonly context: Context
}

async function rehearseJob(
  name: JobName,
  world: RotationWorld,
  { options, context }: Asking,
): Promise<readonly Finding[]> {
  const mend = `mcpvault schedule ${name} --key-file FILE`
  try {
    const plan = planJob(name, options, context)
    for (const argv of plan.rehearsals) {
      const line = formatCron({ ...plan, argv: [...argv, '--json'] }, ANY_RHYTHM).split('\n')[1] ?? ''
      const failure = await runLine(line, world)
      if (failure !== undefined)
        return [{ ...failure, id: `cron-${name}`, what: `"${name}" would fail from cron: ${failure.what}` }]
    }
    return [
      {
        id: `cron-${name}`,
        severity: 'note',
        what: `"${name}" would work from cron`,
        mend: `mcpvault schedule ${name}`,
      },
    ]
  } catch (error) {
    return [findingOf(error, { id: `cron-${name}`, mend })]
  }
}

/** Runs a line as cron does: by sh, in a session without a terminal; gives what went wrong. */
async function runLine(line: string, world: RotationWorld): Promise<Omit<Finding, 'id'> | undefined> {
  const command = line.split(' ').slice(5).join(' ').replaceAll('\\%', '%')
  const end = await runProgram(
    ['/bin/sh', '-c', command],
    { stdin: undefined, maxAnswerBytes: MAX_OUTPUT_BYTES },
    world,
  )
  if (end.failure === undefined) return undefined
  const said = readError(end.printed.toString('utf8'))
  return {
    severity: 'error',
    what: said?.message ?? `it ${end.failure}`,
    mend: said?.hints.find((hint) => hint.startsWith('mcpvault ')) ?? 'mcpvault doctor',
  }
}

/** Reads what a failing command has printed with `--json`; another program's words are none of it. */
function readError(text: string): { readonly message: string; readonly hints: readonly string[] } | undefined {
  try {
    const { error } = JSON.parse(text.trim().split('\n').at(-1) ?? '') as {
      error?: { message?: unknown; hints?: unknown }
    }
    if (typeof error?.message !== 'string') return undefined
    const hints = Array.isArray(error.hints) ? error.hints.filter((hint) => typeof hint === 'string') : []
    return { message: error.message, hints }
  } catch {
    return undefined
  }
}

/** Finds the programs of policies that cron's PATH does not lead to. */
function missingPrograms(access: VaultAccess, world: RotationWorld, { options, context }: Asking): readonly Finding[] {
  const vault = openQuietly(access)
  if (vault === undefined) return []
  const { directory } = rotationWorld(followLinks(access.store.locate('vault')), options, context)
  return vault
    .names()
    .flatMap((name) => vault.describe(name) ?? [])
    .flatMap((credential) => programsOf(credential).map((one) => ({ ...one, credential: credential.name })))
    .filter(({ argv }) => !isFound(argv[0] ?? '', world.environment.PATH ?? '', directory))
    .map(({ role, flag, argv, credential }) => {
      const what = `the ${role} of "${credential}" is "${argv[0] ?? ''}", which is not found in cron's PATH (${CRON_PATH})`
      if (flag === undefined) {
        const mend = `once it is revoked by hand: mcpvault rotate ${shellWord(credential)} --retired`
        return { id: 'cron-program', severity: 'error', what, mend } as const
      }
      const program = argv[0] ?? ''
      const place = findIn(program, context.env.PATH ?? '', directory)
      const absolute = JSON.stringify([place ?? `/path/to/${program}`, ...argv.slice(1)])
      const spec = flag === '--on-rotate' ? absolute : `command:${absolute}`
      return {
        id: 'cron-program',
        severity: 'error',
        what,
        mend: `mcpvault policy set ${shellWord(credential)} ${flag} ${shellWord(spec)}`,
      } as const
    })
}

/** Finds the files of policies that would let a rotation fail: templates that nobody has accepted, targets that are gone. */
function missingFiles(access: VaultAccess, options: GlobalOptions, context: Context): readonly Finding[] {
  const vault = openQuietly(access)
  const world = rotationWorld(followLinks(access.store.locate('vault')), options, context)
  return (vault?.names() ?? []).flatMap((name) => {
    const { verify, targets = [] } = vault?.describe(name)?.policy ?? {}
    const mend = `mcpvault policy show ${shellWord(name)}`
    return [
      ...templateFindings(name, verify, world),
      ...targets.flatMap((target): readonly Finding[] => {
        const spec = parseTarget(target)
        if (spec.kind === 'file' || existsSync(locateFile(spec.file, world))) return []
        const what = `the target "${target}" of "${name}" is a file that is not there`
        return [{ id: 'cron-target', severity: 'error', what, mend }]
      }),
    ]
  })
}

function templateFindings(name: string, verify: string | undefined, world: RotationWorld): readonly Finding[] {
  const spec = verify === undefined ? undefined : parseProbe(verify)
  if (spec?.kind !== 'http') return []
  try {
    requirePinned(verify, name, world)
    return []
  } catch (error) {
    const mend = `mcpvault policy set ${shellWord(name)} --verify ${shellWord(`http:@${spec.file}`)}`
    return [findingOf(error, { id: 'cron-template', mend })]
  }
}

/** A vault that cannot be read is what the rehearsals have found already. */
function openQuietly(access: VaultAccess): ReturnType<typeof openVault> | undefined {
  try {
    return openVault(access)
  } catch (error) {
    if (error instanceof VaultError) return undefined
    throw error
  }
}

interface Program {
  readonly role: string
  /** Undefined for a provider that the policy does not name any more. */
  readonly flag: '--provider' | '--verify' | '--on-rotate' | undefined
  readonly argv: Argv
}

function programsOf({ policy, versions }: Credential): readonly Program[] {
  const provider = policy?.provider === undefined ? undefined : parseProvider(policy.provider)
  const probe = policy?.verify === undefined ? undefined : parseProbe(policy.verify)
  const hook = policy?.onRotate === undefined ? undefined : parseHook(policy.onRotate)
  return [
    ...(provider?.kind === 'command' ? [{ role: 'provider', flag: '--provider', argv: provider.argv } as const] : []),
    ...(probe?.kind === 'command' ? [{ role: 'probe', flag: '--verify', argv: probe.argv } as const] : []),
    ...(hook === undefined ? [] : [{ role: 'hook', flag: '--on-rotate', argv: hook } as const]),
    ...versions.flatMap((version): readonly Program[] => {
      const { provider: maker, revoker } = version
      if (revoker !== 'provider' || maker === undefined || maker === policy?.provider) return []
      const made = parseProvider(maker)
      const role = `provider of version ${version.version}`
      return made.kind === 'command' ? [{ role, flag: undefined, argv: made.argv }] : []
    }),
  ]
}

function isFound(program: string, path: string, directory: string): boolean {
  return findIn(program, path, directory) !== undefined
}

/** Finds a program as execvp(3) does. */
function findIn(program: string, path: string, directory: string): string | undefined {
  if (program.includes('/')) {
    const place = isAbsolute(program) ? program : join(directory, program)
    return isExecutable(place) ? place : undefined
  }
  return path
    .split(':')
    .map((folder) => join(folder === '' ? directory : folder, program))
    .find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
