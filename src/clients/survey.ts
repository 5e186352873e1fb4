import { VaultError } from '../errors.js'
import type { ConfigText } from './config-text.js'
import { findSecrets, type SecretFinding } from './find-secrets.js'
import { type ClientName, clientOfPath, type ConfigLocation } from './locations.js'
import { openConfig } from './open-config.js'
import { readTextFile, type ReplaceTextAccess, type TextFile } from './replace-text-file.js'
import { widenFinding } from './rewrite.js'
import { clientOfContent, readServers, type ServerEntry } from './server-entry.js'

/** A config that was looked through. */
export interface SurveyedConfig {
  readonly file: TextFile
  readonly config: ConfigText
  readonly client: ClientName | undefined
  /** Those with secrets. */
  readonly servers: readonly SurveyedServer[]
}

/** A server with secrets in plain text. */
export interface SurveyedServer {
  readonly server: ServerEntry
  readonly findings: readonly SecretFinding[]
  /** Whether its text can be told apart from what is around it, so that it can be put back. */
  readonly isWhole: boolean
}

/** Which config to look through; `client` overrides what path and content say. */
export interface ConfigChoice {
  readonly path: string
  readonly client?: ClientName | undefined
}

/**
 * Looks configs through for secrets in plain text. A file that two choices mean is looked through once.
 *
 * @throws {VaultError} NOT_FOUND if there is no such file, INPUT, UNSAFE or IO if one cannot be read.
 */
export async function surveyConfigs(
  choices: readonly (ConfigChoice | ConfigLocation)[],
  access: Pick<ReplaceTextAccess, 'host'>,
): Promise<readonly SurveyedConfig[]> {
  const configs = new Map<string, SurveyedConfig>()
  for (const choice of choices) {
    const file = readTextFile(choice.path, 'config', access)
    if (file === undefined) throw new VaultError('NOT_FOUND', `cannot adopt "${choice.path}": there is no such file`)
    if (!configs.has(file.target)) configs.set(file.target, await surveyFile(file, choice.client))
  }
  return [...configs.values()]
}

/** Looks one config through. @throws {VaultError} INPUT */
export async function surveyFile(file: TextFile, named: ClientName | undefined): Promise<SurveyedConfig> {
  const config = await openConfig(file)
  const client = named ?? clientOfPath(file.path) ?? clientOfContent(config)
  const servers = readServers(config).flatMap((server) => {
    const findings = findSecrets(server).map((finding) => widenFinding(finding, client))
    if (findings.length === 0) return []
    return [{ server, findings, isWhole: config.regionsOf(server.path).length > 0 }]
  })
  return { file, config, client, servers }
}
