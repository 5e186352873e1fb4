import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { readFileChecked } from '../../storage/read-file.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG, configPlace, LISTEN_FLAG, type ListenAddress } from '../gateway-config.js'
import { accessVault } from '../open-vault.js'
import { readToken, TOKEN_FILE_FLAG } from '../read-token.js'
import { stdioWorld } from '../stdio-world.js'

/** Options of `serve`. */
export interface ServeOptions extends GlobalOptions {
  /** With `stdio`: the one server. */
  readonly server?: string
  readonly stdio: boolean
  readonly tokenFile?: string
  readonly config?: string
  readonly listen?: ListenAddress
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly allowRemote: boolean
  readonly allowHosts: readonly string[]
  readonly allowOrigins: readonly string[]
}

const DEFAULT_LISTEN: ListenAddress = { host: '127.0.0.1', port: 8808 }
const MAX_PEM_BYTES = 1024 * 1024

const SERVE: CommandShape<ServeOptions> = {
  name: 'serve',
  positionals: [{ key: 'server', arity: 'optional', help: 'with --stdio: the server of mcpvault.json' }],
  flags: [
    CONFIG_FLAG,
    {
      key: 'stdio',
      long: '--stdio',
      help: 'serve one server on stdin and stdout; the token comes from MCPVAULT_TOKEN',
    },
    TOKEN_FILE_FLAG,
    LISTEN_FLAG,
    { key: 'tlsCert', long: '--tls-cert', value: 'FILE', help: 'the certificate chain, in PEM' },
    { key: 'tlsKey', long: '--tls-key', value: 'FILE', help: 'the key of the certificate, in PEM' },
    { key: 'allowRemote', long: '--allow-remote', help: 'listen where other machines can connect; needs TLS' },
    {
      key: 'allowHosts',
      long: '--allow-host',
      value: 'NAME',
      help: 'a host name that clients reach it by',
      isList: true,
    },
    {
      key: 'allowOrigins',
      long: '--allow-origin',
      value: 'ORIGIN',
      help: 'an origin of web pages that may call',
      isList: true,
    },
  ],
  refuseExtra: 'cannot serve: there are too many arguments',
  examples: [
    ['stand in front of the servers of mcpvault.json', 'mcpvault serve'],
    ['another configuration and port', 'mcpvault serve --config team.json --listen 127.0.0.1:9000'],
    ['one server for one client', 'mcpvault serve github --stdio'],
    [
      'for other machines',
      'mcpvault serve --listen 0.0.0.0:8808 --allow-remote --tls-cert cert.pem --tls-key key.pem --allow-host mcp.example',
    ],
  ],
}

/** Registers `serve`. */
export function addServeCommand(parent: Command, context: Context, run = runServe): void {
  addCommand(parent, SERVE, (options) => run(options, context))
}

/** Serves MCP with the credentials of the vault until a signal ends it. */
export async function runServe(options: ServeOptions, context: Context): Promise<void> {
  if (options.stdio) return runServeStdio(options, context)
  if (options.server !== undefined) {
    throw new VaultError('USAGE', 'cannot serve one server over HTTP: all of the configuration are served', {
      hints: ['over stdio: mcpvault serve NAME --stdio', 'another configuration: mcpvault serve --config FILE'],
    })
  }
  const tls = readTls(options, context)
  const access = await accessVault(options, context, 'needed')
  const { runGateway } = await import('../../gateway/serve.js')
  await runGateway(
    {
      config: configPlace(options.config, access, context),
      listen: options.listen ?? DEFAULT_LISTEN,
      tls,
      allowRemote: options.allowRemote,
      hosts: options.allowHosts,
      origins: options.allowOrigins,
    },
    {
      access,
      writeLog: (line) => context.stderr.write(line),
      onSignal: (name, listener) => context.onSignal(name, listener),
      monotonicMs: () => performance.now(),
      env: context.env,
      guardGroup: (start) => context.guardGroup(start),
    },
  )
}

async function runServeStdio(options: ServeOptions, context: Context): Promise<void> {
  const { server, listen, config } = options
  if (server === undefined || listen !== undefined) {
    throw new VaultError('USAGE', 'cannot serve over stdio: it takes the name of one server, and no --listen', {
      hints: ['mcpvault serve NAME --stdio'],
    })
  }
  const token = await readToken(options, context)
  const access = await accessVault(options, context, 'needed')
  const { runStdio } = await import('../../gateway/serve.js')
  await runStdio(
    { config: configPlace(config, access, context), command: 'serve', name: server, token },
    stdioWorld(access, context),
  )
}

function readTls({ tlsCert, tlsKey }: ServeOptions, context: Context): { cert: Buffer; key: Buffer } | undefined {
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new VaultError('USAGE', 'cannot use TLS: it takes both --tls-cert and --tls-key')
  }
  const read = (path: string, what: string): Buffer => {
    const snapshot = readFileChecked(absolutePath(path, context), { what, host: context.host, maxBytes: MAX_PEM_BYTES })
    if (snapshot === undefined) throw new VaultError('NOT_FOUND', `no ${what} at "${path}"`)
    return snapshot.bytes
  }
  return { cert: read(tlsCert, 'TLS certificate'), key: read(tlsKey, 'TLS key') }
}
