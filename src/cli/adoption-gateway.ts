/** `adopt --gateway`: servers go to `mcpvault.json`, and their clients start `mcpvault connect`. */

import type { ConfigPlan } from '../clients/adopt.js'
import { type AdoptedEntry, type AdoptedServer, adoptedPath, readAdopted } from '../clients/adopted-entries.js'
import { type GatewayPlan, planGateway, removeServers, type ServerRemoval } from '../clients/gateway-file.js'
import type { ReplaceTextAccess } from '../clients/replace-text-file.js'
import { VaultError } from '../errors.js'
import { shellWord } from '../shell-word.js'
import type { AdoptOptions } from './commands/adopt.js'
import type { Context } from './context.js'
import type { GlobalOptions } from './flags.js'
import { gatewayConfigBeside } from './gateway-config.js'
import { countOf, type Printer } from './printer.js'

/**
 * Plans which servers go to the gateway.
 *
 * @param hasCredential Whether the vault has a credential, or will.
 * @throws {VaultError} what is wrong with the configuration as it would be; EXISTS if a name is taken.
 */
export async function planForGateway(
  plans: readonly ConfigPlan[],
  vault: string,
  { hasCredential, context }: { readonly hasCredential: (name: string) => boolean; readonly context: Context },
): Promise<GatewayPlan> {
  const { parseConfig } = await import('../gateway/config.js')
  const path = gatewayConfigBeside(vault)
  const plan = await planGateway(plans, {
    path,
    host: context.host,
    adopted: readAdopted(adoptedPath(vault), context),
    check(name, definition) {
      try {
        parseConfig(JSON.stringify({ mcpServers: { [name]: definition } }), path, () => true)
        return undefined
      } catch (error) {
        if (error instanceof VaultError) return error.message.replace(/^cannot use "[^"]*": /, '')
        throw error
      }
    },
  })
  // An error in what stands there already would keep the gateway from serving what comes.
  if (plan.text !== undefined) parseConfig(plan.text, path, hasCredential)
  return plan
}

/** Shows the servers that would come. */
export function gatewayDiff({ path, text, servers }: GatewayPlan): string {
  if (text === undefined) return ''
  const lines = [...servers].flatMap(([name, definition]) => [
    `@@ ${name} @@`,
    `+    ${JSON.stringify(name)}: ${JSON.stringify(definition)}`,
  ])
  return [`--- ${path}`, `+++ ${path}`, ...lines, ''].join('\n')
}

/** What programs are told of the gateway. */
export function gatewayReport(gateway: GatewayPlan | undefined): object {
  if (gateway === undefined) return {}
  return { gateway: { config: gateway.path, servers: [...gateway.servers.keys()], without: gateway.ordinary } }
}

/** Tells people what went without the gateway, and what has to be done before it uses the rest. */
export function sayGateway(
  gateway: GatewayPlan | undefined,
  {
    options,
    printer,
    stderr,
  }: { readonly options: AdoptOptions; readonly printer: Printer; readonly stderr: Context['stderr'] },
): void {
  for (const { server, file, reason } of gateway?.ordinary ?? []) {
    printer.warn(`"${server}" in "${file}" is adopted without the gateway: ${reason}`)
  }
  if (gateway === undefined || gateway.servers.size === 0 || options.dryRun || options.json || options.quiet) return
  const count = countOf(gateway.servers.size, 'server')
  stderr.write(`${count} in "${gateway.path}"; the gateway runs none before you approve it: ${allowCommand(options)}\n`)
}

/** The command that lets the gateway use what was written: nobody but the user does that. */
export function allowCommand({ vault }: Pick<GlobalOptions, 'vault'>): string {
  return `mcpvault config allow${vault === undefined ? '' : ` --vault ${shellWord(vault)}`}`
}

/**
 * Takes the servers of entries that were put back out of the gateway's configuration, unless another adopted entry still
 * connects to them or they were there before.
 *
 * @throws {VaultError} if the configuration cannot be edited: the entries are back all the same.
 */
export async function undoGateway(
  done: readonly Pick<AdoptedEntry, 'gateway'>[],
  live: readonly AdoptedEntry[],
  access: ReplaceTextAccess,
): Promise<ServerRemoval> {
  const byFile = new Map<string, Map<string, AdoptedServer>>()
  for (const { gateway } of done) {
    const isUsed = live.some((one) => one.gateway?.file === gateway?.file && one.gateway?.server === gateway?.server)
    if (gateway === undefined || !gateway.added || isUsed) continue
    byFile.set(gateway.file, (byFile.get(gateway.file) ?? new Map()).set(gateway.server, gateway))
  }
  const undone: ServerRemoval[] = []
  for (const [path, servers] of byFile) undone.push(await removeServers(path, [...servers.values()], access))
  return {
    removed: undone.flatMap(({ removed }) => removed).sort(),
    left: undone.flatMap(({ left }) => left).sort(),
    hasOthers: undone.some(({ hasOthers }) => hasOthers),
  }
}
