/**
 * The configuration as a file that somebody has approved. Whoever can edit it could point a reference at a host of theirs,
 * so it is used only while its SHA-256 stands under the vault's MAC.
 *
 * What was approved last is kept in the state directory, to show what has changed; it counts only if its own SHA-256 is
 * an approved one.
 */

import { realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { sha256 } from '../crypto/kdf.js'
import { VaultError } from '../errors.js'
import { createPrivateFile, ensurePrivateDirectory } from '../storage/create-file.js'
import { readFileChecked, type StorageHost } from '../storage/read-file.js'
import { removeQuietly } from '../storage/temp-file.js'
import { changeVault } from '../vault/change.js'
import type { Vault, VaultAccess } from '../vault/vault.js'
import { type GatewayConfig, parseConfig, type UpstreamConfig } from './config.js'
import { type DiffLine, diffLines } from './line-diff.js'

/** The longest configuration, in bytes. */
const MAX_CONFIG_BYTES = 1024 * 1024

/** Where configurations and what was approved of them are. */
export interface ConfigPlace {
  readonly path: string
  readonly host: StorageHost
  /** mcpvault's state directory; need not exist. */
  readonly stateDirectory: string
}

/** A configuration that holds together, and whether it may be used. */
export interface ConfigFile {
  readonly path: string
  readonly text: string
  /** SHA-256 in hex. */
  readonly digest: string
  readonly config: GatewayConfig
  readonly isApproved: boolean
  /** What differs from what was approved last; every line when nothing was. */
  readonly changes: readonly DiffLine[]
  /** The SHA-256 of what was approved last for this file. */
  readonly replaces: string | undefined
}

/**
 * Reads a configuration and finds out whether it was approved.
 *
 * @throws {VaultError} NOT_FOUND if it or a credential is missing, INPUT if it is not what it should be, UNSAFE if others
 * can write it, IO.
 */
export function readConfigFile(place: ConfigPlace, vault: Vault): ConfigFile {
  const { path, host } = place
  const snapshot = readFileChecked(path, { what: 'gateway configuration', host, maxBytes: MAX_CONFIG_BYTES })
  if (snapshot === undefined) {
    throw new VaultError('NOT_FOUND', `no gateway configuration at "${path}"`, {
      hints: ['its form: docs/gateway.md', 'another place: --config FILE'],
    })
  }
  const text = snapshot.bytes.toString('utf8')
  const names = new Set(vault.names())
  const config = parseConfig(text, path, (name) => names.has(name))
  const digest = sha256(snapshot.bytes).toString('hex')
  const before = readApproved(place, vault)
  const isApproved = vault.approvedConfigs.includes(digest)
  const changes = isApproved ? [] : diffLines(before?.text ?? '', text)
  return { path, text, digest, config, isApproved, changes, replaces: before?.digest }
}

/** Holds that a configuration was approved. @throws {VaultError} UNSAFE with what has changed */
export function requireApproval({ path, isApproved, changes }: ConfigFile): void {
  if (isApproved) return
  throw new VaultError('UNSAFE', `cannot use "${path}": it was not approved as it is now`, {
    hints: ['if every line is meant: mcpvault config allow', ...changes.slice(0, MOST_SHOWN)],
  })
}

const MOST_SHOWN = 40

/**
 * Approves a configuration as it was read.
 *
 * @throws {VaultError} INPUT in the tutorial format, and as `changeVault`.
 */
export async function approveConfig(file: ConfigFile, place: ConfigPlace, access: VaultAccess): Promise<void> {
  await changeVault(access, 'config allow', (draft) => draft.approveConfig(file.digest, file.replaces))
  keepApproved(file, place, access)
}

function keepApproved({ text }: ConfigFile, place: ConfigPlace, access: VaultAccess): void {
  const copy = copyPath(place)
  try {
    ensurePrivateDirectory(dirname(copy))
    removeQuietly(copy)
    createPrivateFile(copy, Buffer.from(text), { randomBytes: (length) => access.randomBytes(length) })
  } catch {
    access.warn('what was approved could not be kept: the next change will be shown as a whole')
  }
}

function readApproved(
  place: ConfigPlace,
  vault: Vault,
): { readonly text: string; readonly digest: string } | undefined {
  try {
    const options = { what: 'approved configuration', host: place.host, maxBytes: MAX_CONFIG_BYTES }
    const bytes = readFileChecked(copyPath(place), options)?.bytes
    const digest = bytes && sha256(bytes).toString('hex')
    if (bytes === undefined || digest === undefined || !vault.approvedConfigs.includes(digest)) return undefined
    return { text: bytes.toString('utf8'), digest }
  } catch {
    // It only helps to see what has changed.
    return undefined
  }
}

function copyPath({ path, stateDirectory }: ConfigPlace): string {
  const name = sha256(Buffer.from(realpathSync(path)))
    .toString('hex')
    .slice(0, 32)
  return join(stateDirectory, 'configs', `${name}.json`)
}

/** What can be said of a server of the configuration. */
export interface UpstreamDescription {
  readonly name: string
  readonly kind: UpstreamConfig['type']
  /** A host, a command, or a builtin's name. */
  readonly place: string
  readonly credentials: readonly string[]
}

/** Describes a server for people. */
export function describeUpstream(config: UpstreamConfig): UpstreamDescription {
  const { name, type: kind, credentials } = config
  if (config.type === 'http') return { name, kind, place: config.url.origin, credentials }
  return { name, kind, place: config.type === 'stdio' ? config.command : config.builtin, credentials }
}
