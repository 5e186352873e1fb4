import { VaultError } from '../errors.js'
import { formatUtc } from '../timestamp.js'
import type { ConfigText } from './config-text.js'
import { type AdoptedEntry, type AdoptedRegion, type AdoptedServer, appendAdopted } from './adopted-entries.js'
import { connectEntry } from './gateway-entry.js'
import { isToml, viewEntry } from './open-config.js'
import { readTextFile, type ReplaceTextAccess, replaceTextFile, type TextFile } from './replace-text-file.js'
import { applyReversal, describeReversal, fingerprintOf, type NamedSecret } from './reversal.js'
import { type EntryForm, type Launcher, type Move, rewriteEntry } from './rewrite.js'
import { type SurveyedConfig, type SurveyedServer, surveyFile } from './survey.js'

/** A server whose secrets go to the vault. */
export interface ServerMoves {
  readonly surveyed: SurveyedServer
  readonly moves: readonly Move[]
  /** The gateway's server that it is to connect to. */
  readonly gateway?: AdoptedServer
}

/** A config, and what is to become of it. */
export interface ConfigPlan {
  readonly surveyed: SurveyedConfig
  readonly servers: readonly ServerMoves[]
}

/** A config as it is to be written. */
export interface PreparedConfig {
  readonly plan: ConfigPlan
  readonly text: string
  readonly servers: readonly PreparedServer[]
}

/** A rewritten server. */
export interface PreparedServer {
  readonly moves: ServerMoves
  readonly form: EntryForm
  readonly variables: ReadonlyMap<string, string>
  readonly regions: readonly AdoptedRegion[]
}

/**
 * Makes the new text of a config, and sees that it can be turned back byte for byte. Writes nothing.
 *
 * @throws {VaultError} INPUT naming the server that cannot be rewritten.
 */
export async function prepareConfig(plan: ConfigPlan, launcher: Launcher): Promise<PreparedConfig> {
  const { file, config, client } = plan.surveyed
  let edited = config
  const rewritten: Omit<PreparedServer, 'regions'>[] = []
  for (const moves of plan.servers) {
    const { server } = moves.surveyed
    const view = await viewEntry(edited, server.path, file.path)
    const { text, form, variables } =
      moves.gateway === undefined
        ? rewriteEntry(view, { server, client, moves: moves.moves }, launcher)
        : { text: connectEntry(view, moves.gateway.server, launcher), form: 'connect' as const, variables: new Map() }
    edited = await view.replace(text)
    rewritten.push({ moves, form, variables })
  }
  const servers = rewritten.map((one) => ({ ...one, regions: describeRegions(config, edited, { ...one, file }) }))
  return { plan, text: edited.text, servers }
}

function describeRegions(
  before: ConfigText,
  after: ConfigText,
  { moves: { surveyed, moves }, file }: { readonly moves: ServerMoves; readonly file: TextFile },
): readonly AdoptedRegion[] {
  const { path, name } = surveyed.server
  const format = isToml(file.path) ? 'toml' : 'json'
  const secrets = moves.map(({ credential, finding }): NamedSecret => ({ credential, value: finding.value }))
  const kept = surveyed.findings.filter((finding) => !moves.some((move) => move.finding === finding))
  const values = new Map(secrets.map(({ credential, value }) => [credential, value]))
  const olds = new Map(before.regionsOf(path).map(({ key, start, end }) => [key, before.text.slice(start, end)]))
  const news = after.regionsOf(path)
  const refuse = (why: string): VaultError => {
    return new VaultError('INPUT', `cannot adopt "${name}" in "${file.path}": ${why}`, {
      hints: [`mcpvault adopt --skip ${JSON.stringify(name)}`],
    })
  }
  return news.map(({ key, start, end }) => {
    const [adopted, original] = [after.text.slice(start, end), olds.get(key)]
    if (original === undefined || news.length !== olds.size) throw refuse('its parts could not be told apart later')
    try {
      const steps = describeReversal(
        { adopted, original, format },
        secrets,
        kept.map((finding) => finding.value),
      )
      if (applyReversal(adopted, steps, (credential) => values.get(credential) ?? '') === original) {
        return { key, sha256: fingerprintOf(adopted), steps }
      }
    } catch (error) {
      if (error instanceof VaultError) throw refuse(error.message)
      throw error
    }
    throw refuse('it could not be put back byte for byte')
  })
}

/** What writing adopted configs needs. */
export interface AdoptionAccess extends ReplaceTextAccess {
  /** Where the way back is kept. */
  readonly adopted: string
  /** Gives the current version of a credential. */
  versionOf(credential: string): number
  /** Runs a step while no other mcpvault writes beside the vault. */
  exclusively(step: () => void): Promise<void>
}

/** How often a config is read again because its client keeps writing it. */
const ATTEMPTS = 5

/**
 * Writes a prepared config, the way back first. Where another program has changed the file meanwhile and not these
 * entries, they are rewritten in what it has become.
 *
 * @throws {VaultError} LOCKED if these entries were changed or the file keeps changing, IO or UNSAFE if it cannot be
 * written: it is as it was then.
 */
export async function writeConfig(prepared: PreparedConfig, launcher: Launcher, access: AdoptionAccess): Promise<void> {
  let next = prepared
  for (let attempt = 1; ; attempt++) {
    const entries = adoptedEntries(next, access)
    await access.exclusively(() => appendAdopted(access.adopted, entries, access))
    try {
      replaceTextFile(next.plan.surveyed.file, next.text, access)
      return
    } catch (error) {
      // A name that is durable or not stands all the same.
      if (error instanceof VaultError && error.code === 'DURABILITY') throw error
      const undone_at = formatUtc(access.now())
      const records = entries.map(({ id }) => ({ v: 1 as const, undone: id, undone_at }))
      await access.exclusively(() => appendAdopted(access.adopted, records, access))
      if (!(error instanceof VaultError) || error.code !== 'LOCKED' || attempt === ATTEMPTS) throw error
      next = await prepareConfig(await planAgain(next.plan, access, error), launcher)
    }
  }
}

/** Finds the same entries in what a file has become. */
async function planAgain(
  { surveyed, servers }: ConfigPlan,
  access: AdoptionAccess,
  conflict: VaultError,
): Promise<ConfigPlan> {
  const file = readTextFile(surveyed.file.path, 'config', access)
  if (file === undefined) throw conflict
  const again = await surveyFile(file, surveyed.client)
  return {
    surveyed: again,
    servers: servers.map((one) => {
      const { surveyed: before } = one
      const { path } = before.server
      const regions = (config: ConfigText): string => {
        return JSON.stringify(config.regionsOf(path).map(({ key, start, end }) => [key, config.text.slice(start, end)]))
      }
      const found = again.servers.find(({ server }) => JSON.stringify(server.path) === JSON.stringify(path))
      if (found === undefined || regions(again.config) !== regions(surveyed.config)) throw conflict
      return { ...one, surveyed: { ...found, findings: before.findings } }
    }),
  }
}

function adoptedEntries({ plan, servers }: PreparedConfig, access: AdoptionAccess): readonly AdoptedEntry[] {
  const { file, client } = plan.surveyed
  return servers.map(({ moves: { surveyed, moves, gateway }, regions }) => ({
    v: 1,
    id: access.randomBytes(8).toString('hex'),
    adopted_at: formatUtc(access.now()),
    file: file.target,
    client: client ?? null,
    server: surveyed.server.name,
    path: surveyed.server.path,
    credentials: [...new Set(moves.map(({ credential }) => credential))].map((name) => ({
      name,
      version: access.versionOf(name),
    })),
    regions,
    ...(gateway === undefined ? {} : { gateway }),
  }))
}
