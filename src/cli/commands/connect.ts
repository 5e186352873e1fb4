import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG, configPlace } from '../gateway-config.js'
import { accessVault } from '../open-vault.js'
import { readToken, TOKEN_FILE_FLAG } from '../read-token.js'
import { stdioWorld } from '../stdio-world.js'
import { TOOLS_FLAG } from '../token-flags.js'

/** Options of `connect`. */
export interface ConnectOptions extends GlobalOptions {
  readonly server?: string
  readonly config?: string
  readonly tools?: readonly string[]
  readonly tokenFile?: string
}

const CONNECT: CommandShape<ConnectOptions> = {
  name: 'connect',
  positionals: [
    {
      key: 'server',
      arity: 'optional',
      help: 'a server of mcpvault.json (all of them as one), or the URL of a gateway elsewhere',
    },
  ],
  flags: [CONFIG_FLAG, { ...TOOLS_FLAG, help: 'the tools that the client may see and call (all)' }, TOKEN_FILE_FLAG],
  examples: [
    ['as the command of a server in a client’s configuration', 'mcpvault connect github --tools get_issue,list_issues'],
    ['all servers of mcpvault.json as one', 'mcpvault connect'],
    [
      'a gateway on another machine, with the token in MCPVAULT_TOKEN',
      'mcpvault connect https://mcp.example/mcp/github',
    ],
  ],
}

/** Registers `connect`. */
export function addConnectCommand(parent: Command, context: Context, run = runConnect): void {
  addCommand(parent, CONNECT, (options) => run(options, context))
}

/** Is an MCP server on stdin and stdout, for one client, until stdin ends. */
export async function runConnect(options: ConnectOptions, context: Context): Promise<void> {
  const { server, tools, config } = options
  if (server !== undefined && /^https?:/i.test(server)) return connectRemote(server, options, context)
  const access = await accessVault(options, context, 'needed')
  const { runStdio } = await import('../../gateway/serve.js')
  await runStdio(
    { config: configPlace(config, access, context), command: 'connect', name: server, token: { tools } },
    stdioWorld(access, context),
  )
}

async function connectRemote(server: string, options: ConnectOptions, context: Context): Promise<void> {
  const { tools } = options
  if (tools !== undefined) {
    throw new VaultError('USAGE', 'cannot choose tools there: what may be called stands in the token', {
      hints: ['mcpvault token narrow --tools NAMES'],
    })
  }
  // What is wrong with it is not repeated: people put secrets there.
  const url = URL.canParse(server) ? new URL(server) : undefined
  if (url === undefined || url.username !== '' || url.password !== '') {
    throw new VaultError('USAGE', 'cannot connect: this is no address, or one with a user name or password')
  }
  const token = await readToken(options, context)
  if (token === undefined) {
    throw new VaultError('UNAUTHORIZED', 'Unauthorized or expired token', {
      hints: ['the token is taken from MCPVAULT_TOKEN or --token-file FILE'],
    })
  }
  const { runRemote } = await import('../../gateway/serve.js')
  await runRemote(
    { url, token },
    {
      input: context.stdin.chunks(),
      writeOutput: (line) => context.stdout.write(line),
      onSignal: (name, listener) => context.onSignal(name, listener),
    },
  )
}
