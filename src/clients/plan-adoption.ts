import type { ConfigPlan, ServerMoves } from './adopt.js'
import { suggestName, uniqueName, variableOf } from './credential-names.js'
import type { SecretFinding } from './find-secrets.js'
import { type Move, refusalOf } from './rewrite.js'
import type { SurveyedConfig, SurveyedServer } from './survey.js'

/** One secret, in all the places where it stands. */
export interface FoundSecret {
  readonly value: string
  readonly credential: string
  /** Whether the vault has it already. */
  readonly isKnown: boolean
  readonly places: readonly SecretPlace[]
}

/** A place where a secret stands. */
export interface SecretPlace {
  readonly config: SurveyedConfig
  readonly server: SurveyedServer
  readonly finding: SecretFinding
}

/** A server that has to stay as it is, and why. */
export interface RefusedServer {
  readonly config: SurveyedConfig
  readonly server: SurveyedServer
  readonly reason: string
}

/** What is known of the vault. */
export interface KnownCredentials {
  has(name: string): boolean
  /** Gives the credential whose current value this is. */
  find(value: string): string | undefined
}

/** Gives each secret of the configs a credential: one for all places of the same value, the vault's own where it has it. */
export function nameSecrets(configs: readonly SurveyedConfig[], vault: KnownCredentials): readonly FoundSecret[] {
  const places = new Map<string, SecretPlace[]>()
  for (const config of configs) {
    for (const server of config.servers) {
      for (const finding of server.findings) {
        places.set(finding.value, [...(places.get(finding.value) ?? []), { config, server, finding }])
      }
    }
  }
  const taken = new Set<string>()
  return [...places].map(([value, found]) => {
    const known = vault.find(value)
    const [first] = found
    const wanted = first === undefined ? '' : suggestName(first.server.server.name, first.finding)
    const credential = known ?? uniqueName(wanted, (name) => taken.has(name) || vault.has(name))
    taken.add(credential)
    return { value, credential, isKnown: known !== undefined, places: found }
  })
}

/** Which secrets were asked for by name: a credential's, a server's, or that of a variable, header, flag or parameter. */
export interface NameFilter {
  /** Empty for all. */
  readonly only: readonly string[]
  readonly skip: readonly string[]
}

/** Leaves the places that were asked for; a secret without a place is gone. */
export function filterSecrets(secrets: readonly FoundSecret[], { only, skip }: NameFilter): readonly FoundSecret[] {
  return keepPlaces(secrets, (secret, { server, finding }) => {
    const names = [secret.credential, server.server.name, finding.name, finding.field.name]
    const isAmong = (list: readonly string[]): boolean =>
      names.some((name) => name !== undefined && list.includes(name))
    return (only.length === 0 || isAmong(only)) && !isAmong(skip)
  })
}

/** Names of a filter that no secret answers to. */
export function unmatchedNames(secrets: readonly FoundSecret[], names: readonly string[]): readonly string[] {
  return names.filter((name) => filterSecrets(secrets, { only: [name], skip: [] }).length === 0)
}

/** Sorts out the servers that have to stay as they are. */
export function refuseServers(secrets: readonly FoundSecret[]): {
  readonly secrets: readonly FoundSecret[]
  readonly refused: readonly RefusedServer[]
} {
  const refused: RefusedServer[] = []
  for (const [server, config] of serversOf(secrets)) {
    const findings = findingsOf(secrets, server)
    const reason = server.isWhole
      ? refusalOf(server.server, findings, config.client)
      : 'its members are scattered over dotted keys'
    if (reason !== undefined) refused.push({ config, server, reason })
  }
  return { secrets: keepPlaces(secrets, (_, place) => !refused.some(({ server }) => server === place.server)), refused }
}

/** Makes the plan of each config. */
export function planConfigs(secrets: readonly FoundSecret[]): readonly ConfigPlan[] {
  const plans = new Map<SurveyedConfig, ServerMoves[]>()
  for (const [server, config] of serversOf(secrets)) {
    const moves = server.findings.flatMap((finding): readonly Move[] => {
      const secret = secrets.find(({ places }) => places.some((place) => place.finding === finding))
      return secret === undefined
        ? []
        : [{ finding, credential: secret.credential, variable: variableOf(secret.credential) }]
    })
    plans.set(config, [...(plans.get(config) ?? []), { surveyed: server, moves }])
  }
  return [...plans].map(([surveyed, servers]) => ({ surveyed, servers }))
}

function serversOf(secrets: readonly FoundSecret[]): ReadonlyMap<SurveyedServer, SurveyedConfig> {
  return new Map(secrets.flatMap(({ places }) => places.map(({ server, config }) => [server, config] as const)))
}

function findingsOf(secrets: readonly FoundSecret[], server: SurveyedServer): readonly SecretFinding[] {
  return secrets.flatMap(({ places }) =>
    places.filter((place) => place.server === server).map((place) => place.finding),
  )
}

function keepPlaces(
  secrets: readonly FoundSecret[],
  isKept: (secret: FoundSecret, place: SecretPlace) => boolean,
): readonly FoundSecret[] {
  return secrets.flatMap((secret) => {
    const places = secret.places.filter((place) => isKept(secret, place))
    return places.length === 0 ? [] : [{ ...secret, places }]
  })
}

/** Says where a finding stands: `env GITHUB_TOKEN`, `header Authorization`, `argument 3`, `url`. */
export function describePlace({ field, name }: SecretFinding): string {
  if (field.kind === 'argument') return `argument ${field.name}${name === undefined ? '' : ` (${name})`}`
  if (field.kind === 'url') return name === undefined ? 'url' : `url (${name})`
  return `${field.kind} ${field.name}`
}
