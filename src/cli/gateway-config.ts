import { dirname, join } from 'node:path'
import { VaultError } from '../errors.js'
import { followLinks } from '../storage/resolve-target.js'
import type { StorageHost } from '../storage/read-file.js'
import type { VaultAccess } from '../vault/vault.js'
import type { Context } from './context.js'
import { absolutePath, mcpvaultDirectory } from './directories.js'
import type { Flag } from './flags.js'

/** Where the gateway's configuration is, for every command that reads it. */
export const CONFIG_FLAG: Flag = {
  key: 'config',
  long: '--config',
  value: 'FILE',
  help: 'the gateway configuration (mcpvault.json beside the vault)',
}

/** Where the gateway listens. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Where the gateway is to listen. */
export const LISTEN_FLAG: Flag = {
  key: 'listen',
  long: '--listen',
  value: 'HOST:PORT',
  help: 'where to listen (127.0.0.1:8808)',
  parse: parseListen,
}

function parseListen(text: string): ListenAddress {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]]+):(\d{1,5})$/i.exec(text)
  const port = Number(match?.[2] ?? Number.NaN)
  if (match?.[1] === undefined || !(port <= 65_535)) {
    throw new VaultError('USAGE', 'cannot read --listen: expected HOST:PORT, such as 127.0.0.1:8808 or [::1]:8808')
  }
  return { host: match[1], port }
}

/** Finds the configuration: `--config`, else `mcpvault.json` beside the vault file itself. */
export function configPlace(
  config: string | undefined,
  access: VaultAccess,
  context: Context,
): { readonly path: string; readonly host: StorageHost; readonly stateDirectory: string } {
  const beside = gatewayConfigBeside(access.store.locate('vault'))
  return {
    path: config === undefined ? beside : absolutePath(config, context),
    host: context.host,
    stateDirectory: mcpvaultDirectory('XDG_STATE_HOME', context),
  }
}

/** Where the configuration is when nothing else is said: beside the vault file itself. */
export function gatewayConfigBeside(vault: string): string {
  return join(dirname(followLinks(vault)), 'mcpvault.json')
}
