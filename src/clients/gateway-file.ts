/** Edits `mcpvault.json`: servers come and go, and what stands beside them stays byte for byte. */

import { isDeepStrictEqual } from 'node:util'
import { VaultError } from '../errors.js'
import { createPrivateFile } from '../storage/create-file.js'
import { followLinks } from '../storage/resolve-target.js'
import type { ConfigPlan, ServerMoves } from './adopt.js'
import type { AdoptedEntry, AdoptedServer } from './adopted-entries.js'
import { type ConfigText, isRecord } from './config-text.js'
import { type GatewayDefinition, toGateway } from './gateway-entry.js'
import { openConfig } from './open-config.js'
import { readTextFile, type ReplaceTextAccess, replaceTextFile, type TextFile } from './replace-text-file.js'
import { fingerprintOf } from './reversal.js'

const WHAT = 'gateway configuration'

/** Servers that go to the gateway. */
export interface GatewayPlan {
  /** The configs, each server that goes marked. */
  readonly plans: readonly ConfigPlan[]
  readonly path: string
  /** Undefined where it is to be made. */
  readonly file: TextFile | undefined
  /** The whole configuration as it is to be; undefined when nothing comes. */
  readonly text: string | undefined
  readonly servers: ReadonlyMap<string, GatewayDefinition>
  /** Servers that are adopted without the gateway, and why. */
  readonly ordinary: readonly { readonly server: string; readonly file: string; readonly reason: string }[]
}

/** What is known when servers are planned. */
export interface GatewaySurroundings {
  readonly path: string
  readonly host: ReplaceTextAccess['host']
  /** Entries that were adopted before. */
  readonly adopted: readonly AdoptedEntry[]
  /** Says why the gateway would not take a server; undefined when it would. */
  check(name: string, definition: GatewayDefinition): string | undefined
}

/**
 * Plans which servers go to the gateway. Nothing is written.
 *
 * @throws {VaultError} EXISTS if a server of that name is there and is another one, INPUT, UNSAFE or IO if the
 * configuration cannot be read.
 */
export async function planGateway(plans: readonly ConfigPlan[], around: GatewaySurroundings): Promise<GatewayPlan> {
  const file = readTextFile(around.path, WHAT, around)
  const path = file?.target ?? followLinks(around.path)
  const before = file === undefined ? undefined : await openConfig(file)
  const servers = new Map<string, GatewayDefinition>()
  const chosen = new Map<ServerMoves, string>()
  const ordinary: GatewayPlan['ordinary'][number][] = []
  for (const { surveyed, servers: all } of plans) {
    for (const one of all) {
      const { server } = one.surveyed
      const form = toGateway(one.surveyed, surveyed.config.get(server.path), one.moves)
      const reason = 'reason' in form ? form.reason : around.check(form.name, form.definition)
      if ('reason' in form || reason !== undefined) {
        ordinary.push({ server: server.name, file: surveyed.file.path, reason: reason ?? '' })
        continue
      }
      const taken = servers.get(form.name) ?? before?.get(['mcpServers', form.name])
      if (taken !== undefined && !isDeepStrictEqual(taken, form.definition)) {
        throw clash(form.name, { server: server.name, file: surveyed.file.path, path: around.path })
      }
      servers.set(form.name, form.definition)
      chosen.set(one, form.name)
    }
  }
  const added = [...servers.keys()].filter((name) => before?.get(['mcpServers', name]) === undefined)
  const after = await withServers(before, new Map(added.map((name) => [name, servers.get(name) ?? {}])), around.path)
  const mark = (moves: ServerMoves): ServerMoves => {
    const name = chosen.get(moves)
    if (name === undefined || after === undefined) return moves
    const isOurs = around.adopted.some(
      ({ gateway }) => gateway?.server === name && gateway.file === path && gateway.added,
    )
    const sha256 = fingerprintOf(textOf(after, name) ?? '')
    return { ...moves, gateway: { file: path, server: name, sha256, added: added.includes(name) || isOurs } }
  }
  const marked = plans.map((plan) => ({ ...plan, servers: plan.servers.map(mark) }))
  return { plans: marked, path, file, text: added.length === 0 ? undefined : after?.text, servers, ordinary }
}

function clash(
  name: string,
  { server, file, path }: { readonly server: string; readonly file: string; readonly path: string },
): VaultError {
  return new VaultError(
    'EXISTS',
    `cannot adopt "${server}" in "${file}" into the gateway: another server has the name "${name}" in "${path}"`,
    { hints: ['rename one of them', `or leave it out: mcpvault adopt --gateway --skip ${JSON.stringify(server)}`] },
  )
}

async function withServers(
  before: ConfigText | undefined,
  added: ReadonlyMap<string, GatewayDefinition>,
  path: string,
): Promise<ConfigText | undefined> {
  if (before === undefined) {
    if (added.size === 0) return undefined
    const text = `${JSON.stringify({ mcpServers: Object.fromEntries(added) }, null, 2)}\n`
    return openConfig({ path, text })
  }
  const rooted = before.get(['mcpServers']) === undefined ? before.set(['mcpServers'], {}) : before
  const start = added.size === 0 ? before : rooted
  return [...added].reduce((done, [name, definition]) => done.set(['mcpServers', name], definition), start)
}

function textOf(config: ConfigText, name: string): string | undefined {
  const span = config.spanOf(['mcpServers', name])
  return span && config.text.slice(span.start, span.end)
}

/**
 * Writes the planned configuration.
 *
 * @throws {VaultError} LOCKED or EXISTS if it has changed since it was read, UNSAFE, IO, DURABILITY.
 */
export function writeGateway({ path, file, text }: GatewayPlan, access: ReplaceTextAccess): void {
  if (text === undefined) return
  if (file === undefined) createPrivateFile(path, Buffer.from(text), access)
  else replaceTextFile(file, text, access)
}

/** What became of servers that were to be taken out. */
export interface ServerRemoval {
  readonly removed: readonly string[]
  /** Those that have been changed since. */
  readonly left: readonly string[]
  /** Whether the configuration has servers still. */
  readonly hasOthers: boolean
}

/**
 * Takes servers that were adopted out of a configuration. One that was changed since stays, and so does all else.
 *
 * @throws {VaultError} INPUT, LOCKED, UNSAFE, IO or DURABILITY if the configuration cannot be edited.
 */
export async function removeServers(
  path: string,
  servers: readonly AdoptedServer[],
  access: ReplaceTextAccess,
): Promise<ServerRemoval> {
  const file = readTextFile(path, WHAT, access)
  if (file === undefined) return { removed: [], left: [], hasOthers: false }
  const before = await openConfig(file)
  const there = servers.filter(({ server }) => before.get(['mcpServers', server]) !== undefined)
  const same = there.filter(({ server, sha256 }) => fingerprintOf(textOf(before, server) ?? '') === sha256)
  const after = same.reduce((done, { server }) => done.remove(['mcpServers', server]), before)
  const rest = after.get(['mcpServers'])
  if (same.length > 0) replaceTextFile(file, after.text, access)
  return {
    removed: same.map(({ server }) => server),
    left: there.filter((one) => !same.includes(one)).map(({ server }) => server),
    hasOthers: isRecord(rest) && Object.keys(rest).length > 0,
  }
}
