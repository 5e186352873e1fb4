/**
 * `adopt`, step by step: look, name, ask, store, rewrite.
 *
 * @module
 */

import { type ConfigPlan, type PreparedConfig, prepareConfig, writeConfig } from '../clients/adopt.js'
import { readAdopted } from '../clients/adopted-entries.js'
import { type ConfigLocation, configPlaces, findConfigs } from '../clients/locations.js'
import { maskedDiff } from '../clients/masked-diff.js'
import {
  describePlace,
  type FoundSecret,
  filterSecrets,
  nameSecrets,
  planConfigs,
  refuseServers,
  unmatchedNames,
} from '../clients/plan-adoption.js'
import { type Launcher, startAdvice } from '../clients/rewrite.js'
import { type ConfigChoice, type SurveyedConfig, surveyConfigs } from '../clients/survey.js'
import { type GatewayPlan, writeGateway } from '../clients/gateway-file.js'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import { changeVault } from '../vault/change.js'
import { openVault } from '../vault/open.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import { gatewayDiff, gatewayReport, planForGateway, sayGateway, undoGateway } from './adoption-gateway.js'
import { adoptionAccess, findLauncher, isTracked, openWithoutShell } from './adoption-world.js'
import type { AdoptOptions } from './commands/adopt.js'
import type { Context } from './context.js'
import { absolutePath } from './directories.js'
import { defaultVaultPath, findVault, hasVault, openForReading, openForWriting } from './open-vault.js'
import { countOf, createPrinter, type Printer } from './printer.js'
import { canAsk } from './read-value.js'

/** Moves plain-text secrets of client configs into the vault. */
export async function runAdoption(options: AdoptOptions, context: Context): Promise<void> {
  const printer = createPrinter(context, options)
  const configs = await survey(options, context, printer)
  if (options.dryRun) return preview(configs, options, context)
  const vault = findVault(options, context)
  const launcher = findLauncher(vault, options, context)
  const access = await openForWriting(options, context)
  const opened = openVault(access)
  refuseTutorial(opened, access)
  await openWithoutShell(vault, options, context)
  const secrets = await choose(nameSecrets(configs, knownBy(opened, context)), { options, context, printer })
  const { plans, gateway } = await plan(secrets, { vault, known: opened.names(), options, context })
  const prepared = await prepareAll(plans, launcher)
  await storeSecrets(secrets, access)
  if (gateway !== undefined) await access.store.transaction('adopt', () => writeGateway(gateway, context))
  await writeAll(prepared, { launcher, access, context, printer })
  await report(prepared, { secrets, gateway, options, context, printer })
}

/** Files that were named must be readable; of those that were found, what is broken is warned of and left alone. */
async function survey(options: AdoptOptions, context: Context, printer: Printer): Promise<readonly SurveyedConfig[]> {
  const { files, client } = options
  if (files.length > 0) {
    const choices = files.map((file): ConfigChoice => ({ path: absolutePath(file, context), client }))
    return surveyConfigs(choices, context)
  }
  const place = { home: context.home, platform: context.host.platform, cwd: context.cwd, env: context.env }
  const found = findConfigs(place, client)
  if (found.length === 0) {
    throw new VaultError('NOT_FOUND', 'no config of an MCP client was found', {
      hints: configPlaces(place, client).map(({ path }) => `looked for "${path}"`),
    })
  }
  const configs: SurveyedConfig[] = []
  for (const location of found) configs.push(...(await surveyLeniently(location, context, printer)))
  return configs
}

async function surveyLeniently(
  location: ConfigLocation,
  context: Context,
  printer: Printer,
): Promise<readonly SurveyedConfig[]> {
  try {
    return await surveyConfigs([location], context)
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    printer.warn(`left out: ${error.message}`)
    return []
  }
}

function refuseTutorial(vault: Vault, { store }: VaultAccess): void {
  if (vault.format === 'native') return
  throw new VaultError(
    'INPUT',
    `cannot adopt into "${store.locate('vault')}": a tutorial vault has no place to record that values have lain in plain text`,
    { hints: ['mcpvault upgrade'] },
  )
}

function knownBy(vault: Vault, context: Context): Parameters<typeof nameSecrets>[1] {
  const names = new Set(vault.names())
  let byValue: Map<string, string> | undefined
  const readAll = (): Map<string, string> => {
    const values = new Map<string, string>()
    for (const name of names) {
      const value = vault.load(name, { nowMs: context.now() })
      const text = value.revealText()
      if (text !== undefined && !values.has(text)) values.set(text, name)
      value.wipe()
    }
    return values
  }
  return {
    has: (name) => names.has(name),
    find(value) {
      byValue ??= readAll()
      return byValue.get(value)
    },
  }
}

interface Asking {
  readonly options: AdoptOptions
  readonly context: Context
  readonly printer: Printer
}

/** Filters by name, leaves out what cannot be rewritten, and asks for each secret. */
async function choose(
  all: readonly FoundSecret[],
  { options, context, printer }: Asking,
): Promise<readonly FoundSecret[]> {
  const wanted = narrow(all, options, printer)
  if (options.yes || wanted.length === 0) return wanted
  if (!canAsk(options, context)) {
    throw new VaultError('USAGE', 'this needs a confirmation, and there is no terminal to ask on', {
      hints: ['see what would change: mcpvault adopt --dry-run', 'add --yes'],
    })
  }
  const chosen: FoundSecret[] = []
  for (const secret of wanted) if (await context.prompt.confirm(questionFor(secret))) chosen.push(secret)
  return chosen
}

function narrow(all: readonly FoundSecret[], { only, skip }: AdoptOptions, printer: Printer): readonly FoundSecret[] {
  const unknown = unmatchedNames(all, [...only, ...skip])
  if (unknown.length > 0 && all.length > 0) {
    throw new VaultError('NOT_FOUND', `no secret that was found has the name "${unknown[0]}"`, {
      hints: [`there are: ${all.map(({ credential }) => credential).join(', ')}`],
    })
  }
  const { secrets, refused } = refuseServers(filterSecrets(all, { only, skip }))
  for (const { config, server, reason } of refused) {
    printer.warn(`"${server.server.name}" in "${config.file.path}" keeps its secrets: ${reason}`)
  }
  return secrets
}

function questionFor({ credential, isKnown, places }: FoundSecret): string {
  const where = places.map(({ config, server, finding }) => {
    return `${describePlace(finding)} of "${server.server.name}" in ${config.file.path}`
  })
  const [first] = places
  const target = isKnown ? `refer to "${credential}", which the vault has` : `move to the vault as "${credential}"`
  return `${where.join(', and ')} (${first?.finding.why}): ${target}?`
}

interface Planning {
  readonly vault: string
  readonly known: readonly string[]
  readonly options: AdoptOptions
  readonly context: Context
}

/** What becomes of each server; with `--gateway`, of the gateway's configuration, too. */
async function plan(
  secrets: readonly FoundSecret[],
  { vault, known, options, context }: Planning,
): Promise<{ readonly plans: readonly ConfigPlan[]; readonly gateway: GatewayPlan | undefined }> {
  const plans = planConfigs(secrets)
  if (!options.gateway) return { plans, gateway: undefined }
  const names = new Set([...known, ...secrets.map(({ credential }) => credential)])
  const gateway = await planForGateway(plans, vault, { hasCredential: (name) => names.has(name), context })
  return { plans: gateway.plans, gateway }
}

async function prepareAll(plans: readonly ConfigPlan[], launcher: Launcher): Promise<readonly PreparedConfig[]> {
  const prepared: PreparedConfig[] = []
  for (const plan of plans) prepared.push(await prepareConfig(plan, launcher))
  return prepared
}

/** All of them in one commit; each is due at once. */
async function storeSecrets(secrets: readonly FoundSecret[], access: VaultAccess): Promise<void> {
  if (secrets.length === 0) return
  await changeVault(access, 'adopt', (draft) => {
    for (const { credential, isKnown, value, places } of secrets) {
      const origins = [
        ...new Set(places.map(({ config, server }) => `"${server.server.name}" in ${config.file.target}`)),
      ]
      const reason = `has lain in plain text: ${origins.join(', ')}`.slice(0, 1000)
      const note = `adopted from ${origins.join(', ')}`.slice(0, 1000)
      if (!isKnown) draft.store(credential, Secret.fromText(value), { reason: 'adopted', note })
      draft.markLeaked(credential, { reason })
    }
  })
}

interface Writing {
  readonly launcher: Launcher
  readonly access: VaultAccess
  readonly context: Context
  readonly printer: Printer
}

/** A config that cannot be written does not keep the others from being written. */
async function writeAll(
  prepared: readonly PreparedConfig[],
  { launcher, access, context, printer }: Writing,
): Promise<void> {
  const vault = openVault(access)
  const writing = {
    ...adoptionAccess(access, context),
    versionOf: (name: string) => vault.describe(name)?.versions.find(({ stage }) => stage === 'current')?.version ?? 0,
  }
  const failures: VaultError[] = []
  for (const config of prepared) {
    try {
      await writeConfig(config, launcher, writing)
    } catch (error) {
      if (!(error instanceof VaultError)) throw error
      failures.push(error)
      // What is written may have only lacked its confirmation.
      await undoGateway(config.plan.servers, readAdopted(writing.adopted, context), writing)
    }
  }
  const [first, ...others] = failures
  if (first === undefined) return
  for (const { message } of others) printer.warn(message)
  throw new VaultError(first.code, first.message, {
    cause: first,
    hints: [
      'the secrets are in the vault, and what was not written is as it was: mcpvault adopt goes on',
      ...first.hints,
    ],
  })
}

interface Reporting extends Asking {
  readonly secrets: readonly FoundSecret[]
  readonly gateway: GatewayPlan | undefined
}

async function report(
  prepared: readonly PreparedConfig[],
  { secrets, gateway, options, context, printer }: Reporting,
): Promise<void> {
  const rows = rowsOf(prepared, secrets)
  const starts = startsOf(prepared)
  const tracked = prepared.map(({ plan }) => plan.surveyed.file.target).filter((path) => isTracked(path, context))
  const counts = `${countOf(rows.length, 'secret')} as ${countOf(secrets.length, 'credential')}`
  const sentence =
    rows.length === 0
      ? 'there was nothing to adopt: no secret stands in plain text that was not left out'
      : `adopted ${counts}; they have lain in plain text and are due: mcpvault rotation-due`
  if (!options.json && rows.length > 0) {
    await printer.table({
      headers: ['credential', 'server', 'where', 'why', 'now', 'file'],
      rows: rows.map((row) => [row.credential, row.server, row.place, row.why, row.form, row.file]),
      empty: '',
    })
  }
  printer.done(sentence, {
    dry_run: false,
    adopted: rows,
    start: starts,
    tracked_by_git: tracked,
    ...gatewayReport(gateway),
  })
  if (!options.json && !options.quiet) for (const advice of starts) context.stderr.write(`${advice}\n`)
  sayGateway(gateway, { options, printer, stderr: context.stderr })
  for (const path of tracked) {
    printer.warn(`"${path}" is tracked by git: its history still holds the values, so that only rotating them helps`)
  }
}

function rowsOf(prepared: readonly PreparedConfig[], secrets: readonly FoundSecret[]) {
  return prepared.flatMap(({ plan, servers }) =>
    servers.flatMap(({ moves, form }) =>
      moves.moves.map(({ credential, finding }) => ({
        credential,
        is_new: secrets.some((secret) => secret.credential === credential && !secret.isKnown),
        file: plan.surveyed.file.path,
        client: plan.surveyed.client ?? null,
        server: moves.surveyed.server.name,
        place: describePlace(finding),
        why: finding.why,
        form,
      })),
    ),
  )
}

function startsOf(prepared: readonly PreparedConfig[]): readonly string[] {
  return prepared.flatMap(({ plan, servers }) => {
    const variables = new Map(servers.flatMap((server) => [...server.variables]))
    const { client } = plan.surveyed
    return client === undefined || variables.size === 0 ? [] : [startAdvice(client, variables)]
  })
}

/** Prints the changes without values; works before there is a vault, too. */
async function preview(configs: readonly SurveyedConfig[], options: AdoptOptions, context: Context): Promise<void> {
  const printer = createPrinter(context, options)
  const isThere = hasVault(options, context)
  const opened = isThere ? (await openForReading(options, context, 'needed')).vault : undefined
  const known = opened === undefined ? { has: () => false, find: () => undefined } : knownBy(opened, context)
  const secrets = narrow(nameSecrets(configs, known), options, printer)
  const path = isThere ? findVault(options, context) : defaultVaultPath(context)
  const { plans, gateway } = await plan(secrets, { vault: path, known: opened?.names() ?? [], options, context })
  const prepared = await prepareAll(plans, findLauncher(path, options, context))
  if (options.json) {
    printer.json({
      dry_run: true,
      adopted: rowsOf(prepared, secrets),
      start: startsOf(prepared),
      ...gatewayReport(gateway),
    })
    return
  }
  for (const config of prepared) context.stdout.write(await maskedDiff(config))
  if (gateway !== undefined) context.stdout.write(gatewayDiff(gateway))
  sayGateway(gateway, { options, printer, stderr: context.stderr })
  const counts = `${countOf(rowsOf(prepared, secrets).length, 'secret')} as ${countOf(secrets.length, 'credential')}`
  if (options.quiet) return
  const sentence = secrets.length === 0 ? 'there is nothing to adopt' : `would adopt ${counts}; nothing was changed`
  context.stderr.write(`${sentence}\n`)
}
