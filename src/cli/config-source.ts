import { suggestName, uniqueName } from '../clients/credential-names.js'
import { findSecrets } from '../clients/find-secrets.js'
import { parserOf } from '../clients/open-config.js'
import { readServers } from '../clients/server-entry.js'
import { VaultError } from '../errors.js'
import { Secret } from '../secret.js'
import type { ImportedValue } from '../vault/import.js'

/** Tells whether a text is the config of an MCP client, by its members. */
export function isClientConfig(text: string): boolean {
  const hasServers = /"mcpServers"\s*:\s*\{/.test(text) || /"servers"\s*:\s*\{[\s\S]*"(?:command|url)"\s*:/.test(text)
  return /^\uFEFF?\s*[{/]/.test(text) && hasServers
}

/**
 * Takes the secrets out of the config of an MCP client, each value once, under the names that `adopt` would give them; the
 * config stays as it is.
 *
 * @throws {VaultError} INPUT if the config is broken or holds no secret; never with a piece of it.
 */
export async function readConfigSource(
  text: string,
  { label, prefix }: { readonly label: string; readonly prefix: string },
): Promise<readonly ImportedValue[]> {
  const config = (await parserOf(label))(text, label)
  const names = new Map<string, string>()
  for (const server of readServers(config)) {
    for (const finding of findSecrets(server)) {
      if (names.has(finding.value)) continue
      if (finding.value.includes('\0') || !finding.value.isWellFormed()) {
        throw new VaultError('INPUT', `cannot import "${label}": a secret of "${server.name}" is no text`)
      }
      const taken = new Set(names.values())
      names.set(
        finding.value,
        uniqueName(suggestName(server.name, finding), (name) => taken.has(name)),
      )
    }
  }
  if (names.size === 0) throw new VaultError('INPUT', `cannot import "${label}": no secret was found in its servers`)
  return [...names].map(([value, name]) => ({ name: prefix + name, value: Secret.fromText(value), sinceMs: undefined }))
}
