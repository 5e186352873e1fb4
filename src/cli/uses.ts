/** Who holds or reaches a credential: processes, files, client configs, upstreams, timers, tokens. */

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Surroundings, findConfigs, CLIENT_TITLES } from '../clients/locations.js'
import { VaultError } from '../errors.js'
import { readHolders } from '../exec/holders.js'
import { SEARCH_TOOL } from '../search/definition.js'
import { SEARCH_CREDENTIAL } from '../search/search.js'
import type { Secret } from '../secret.js'
import { readFileChecked } from '../storage/read-file.js'
import { followLinks } from '../storage/resolve-target.js'
import { intersectCaveats } from '../tokens/caveats.js'
import { ANY_TOOL } from '../tokens/tool-name.js'
import { TokenRecords } from '../tokens/records.js'
import type { Credential, Vault, VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import { defaultVaultPath } from './open-vault.js'
import { findTimers } from './timers.js'

/** One place where a credential is held, or from where it is reached. */
export interface Use {
  readonly kind: 'process' | 'target' | 'config' | 'upstream' | 'timer' | 'token'
  /** The process, file or token. */
  readonly where: string
  /** What it has of the credential. */
  readonly what: string
  /** The version that it holds, as far as that is known. */
  readonly version?: number | undefined
  /** Whether it holds another version than the current one. */
  readonly isStale: boolean
}

/** What is asked about. */
export interface UsesScene {
  readonly credential: Credential
  readonly vault: Vault
  readonly access: VaultAccess
  readonly context: Context
}

const MAX_FILE_BYTES = 10 * 1024 * 1024
/** A shorter value turns up in innocent text. */
const SHORTEST_VALUE_BYTES = 8

/** Finds the uses of a credential, those that hold it first. What cannot be read is told by a warning. */
export async function findUses(scene: UsesScene): Promise<readonly Use[]> {
  const upstreams = await findUpstreams(scene)
  return [
    ...findProcesses(scene),
    ...findTargets(scene),
    ...findInConfigs(scene),
    ...upstreams.map(
      ({ name, path }): Use => ({
        kind: 'upstream',
        where: path,
        what: `the upstream "${name}" gets it at each call`,
        isStale: false,
      }),
    ),
    ...findVaultTimers(scene),
    ...findTokens(
      scene,
      upstreams.map(({ name }) => name),
    ),
  ]
}

function currentOf({ versions }: Credential): number | undefined {
  return versions.find(({ stage }) => stage === 'current')?.version
}

/** Says which version is held, against the one that is current. */
function holding(version: number | undefined, credential: Credential): Pick<Use, 'what' | 'version' | 'isStale'> {
  const current = currentOf(credential)
  if (version === undefined || current === undefined) return { what: 'holds it', isStale: false }
  const isStale = version !== current
  return {
    what: isStale ? `holds version ${version}, current is ${current}` : `holds version ${version}, the current one`,
    version,
    isStale,
  }
}

function findProcesses({ credential, access, context }: UsesScene): readonly Use[] {
  return quietly(access, [], () =>
    readHolders(access, context.host).flatMap(({ pid, command, program, credentials, isElsewhere }) => {
      const held = credentials.filter(({ name }) => name === credential.name)
      const place = isElsewhere ? ' on another machine or in another container' : ''
      const doing = program === undefined ? command : `${command} ${program}`
      return held.map(({ version }): Use => {
        return { kind: 'process', where: `pid ${pid} (${doing})${place}`, ...holding(version, credential) }
      })
    }),
  )
}

function findTargets({ credential }: UsesScene): readonly Use[] {
  const targets = credential.policy?.targets ?? []
  return targets.map((target) => ({
    kind: 'target',
    where: target,
    what: 'gets every new value when it is rotated',
    isStale: false,
  }))
}

function findInConfigs(scene: UsesScene): readonly Use[] {
  const { access, context } = scene
  const { home, cwd, env, host } = context
  const place: Surroundings = { home, cwd, env, platform: host.platform }
  const values = keptValues(scene)
  try {
    return findConfigs(place).flatMap(({ client, path }) =>
      quietly(access, [], () => {
        const file = readFileChecked(path, { what: 'client config', maxBytes: MAX_FILE_BYTES, host })
        const lines = file?.bytes.toString('utf8').split('\n') ?? []
        return lines.flatMap((line, index): readonly Use[] => {
          const use = useOfLine(line, values, scene.credential)
          const where = `${path}:${index + 1} (${CLIENT_TITLES[client]})`
          return use === undefined ? [] : [{ kind: 'config', where, ...use }]
        })
      }),
    )
  } finally {
    for (const { value } of values) value.wipe()
  }
}

interface KeptValue {
  readonly version: number | undefined
  readonly value: Secret
}

/** Without the key nothing is compared; a value that lies in plain text is then not seen. */
function keptValues({ credential, vault, context }: UsesScene): readonly KeptValue[] {
  const versions = credential.versions.filter(({ stage }) => stage === 'current' || stage === 'previous')
  const wanted = vault.format === 'native' ? versions.map(({ version }) => version) : [undefined]
  try {
    return wanted.map((version) => ({ version, value: vault.load(credential.name, { version, nowMs: context.now() }) }))
  } catch (error) {
    if (error instanceof VaultError) return []
    throw error
  }
}

function useOfLine(
  line: string,
  values: readonly KeptValue[],
  credential: Credential,
): Omit<Use, 'kind' | 'where'> | undefined {
  const held = values.find(({ value }) => {
    const text = value.revealText()
    if (text === undefined || text.length < SHORTEST_VALUE_BYTES) return false
    return line.includes(text) || line.includes(JSON.stringify(text).slice(1, -1))
  })
  if (held !== undefined) {
    const { what, ...rest } = holding(held.version, credential)
    return { ...rest, what: `${what}, in plain text` }
  }
  return namesCredential(line, credential.name) ? { what: 'refers to it by name', isStale: false } : undefined
}

/** Tells whether a name stands in a line as a whole: `"NAME"`, `ENV=NAME`, `${vault:NAME}`. */
export function namesCredential(line: string, name: string): boolean {
  for (let at = line.indexOf(name); at !== -1; at = line.indexOf(name, at + 1)) {
    const before = line[at - 1] ?? ' '
    const after = line[at + name.length] ?? ' '
    if (/[\s"'=:,[(]/.test(before) && /[\s"'},\])]/.test(after)) return true
  }
  return false
}

interface FoundUpstream {
  readonly name: string
  readonly path: string
}

async function findUpstreams({ credential, access, context }: UsesScene): Promise<readonly FoundUpstream[]> {
  const path = join(dirname(followLinks(access.store.locate('vault'))), 'mcpvault.json')
  if (!existsSync(path)) return []
  // Loaded here: what checks the configuration is slow to load, and most vaults have none.
  const { parseConfig } = await import('../gateway/config.js')
  return quietly(access, [], () => {
    const what = 'configuration'
    const file = readFileChecked(path, { what, maxBytes: MAX_FILE_BYTES, host: context.host })
    const { upstreams } = parseConfig(file?.bytes.toString('utf8') ?? '', path, () => true)
    return upstreams
      .filter(({ credentials }) => credentials.some((name) => name === credential.name))
      .map(({ name }) => ({ name, path }))
  })
}

function findVaultTimers({ access, context }: UsesScene): readonly Use[] {
  const path = access.store.locate('vault')
  const question = {
    vaultPaths: [path, followLinks(path)],
    home: context.home,
    defaultVault: defaultVaultPath(context),
  }
  return findTimers(question, context).map(({ where, command }) => ({
    kind: 'timer',
    where,
    what: `runs "${command}" on this vault`,
    isStale: false,
  }))
}

function findTokens({ credential, vault, access, context }: UsesScene, upstreams: readonly string[]): readonly Use[] {
  const reaches = (tool: string): boolean =>
    tool === ANY_TOOL ||
    (credential.name === SEARCH_CREDENTIAL && tool === SEARCH_TOOL) ||
    upstreams.some((upstream) => tool.startsWith(`${upstream}/`))
  const isReachable = credential.name === SEARCH_CREDENTIAL || upstreams.length > 0
  if (!isReachable) return []
  return quietly(access, [], () =>
    TokenRecords.open(access.store, vault)
      .live(context.now())
      .flatMap(({ id, label, caveats }): readonly Use[] => {
        const tools = intersectCaveats(caveats).tools.filter(reaches)
        const named = label === undefined ? `token ${id}` : `token ${id} (${label})`
        if (tools.length === 0) return []
        return [{ kind: 'token', where: named, what: `reaches it by ${tools.join(', ')}`, isStale: false }]
      }),
  )
}

/** Something that cannot be read does not hide the rest. */
function quietly<T>({ warn }: Pick<VaultAccess, 'warn'>, otherwise: T, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof VaultError)) throw error
    warn(error.message)
    return otherwise
  }
}
