import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { fillTemplate } from '../../exec/fill.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { CONFIG_FLAG } from '../gateway-config.js'
import { openForReading } from '../open-vault.js'
import { TOOLS_FLAG } from '../token-flags.js'
import { serverToken } from '../server-token.js'

/** Options of `headers`. */
export interface HeadersOptions extends GlobalOptions {
  /** A server behind the gateway, for which a token is made. */
  readonly server?: string
  readonly tools?: readonly string[]
  readonly config?: string
  readonly headers: readonly HeaderTemplate[]
}

/** A header, and what its value is made of. */
export interface HeaderTemplate {
  readonly name: string
  readonly template: string
}

const HEADERS: CommandShape<HeadersOptions> = {
  name: 'headers',
  positionals: [
    { key: 'server', arity: 'optional', help: 'a server of the gateway: prints Authorization with a token' },
  ],
  flags: [
    { ...TOOLS_FLAG, help: 'with a server: the tools that the token allows (all of the server)' },
    CONFIG_FLAG,
    {
      key: 'headers',
      long: '--header',
      value: 'NAME: TEXT',
      help: 'a header; {{ vault "NAME" }} in its text stands for a credential; may be repeated',
      isList: true,
      parse: parseHeader,
    },
  ],
  examples: [
    ['a token for a server behind the gateway', 'mcpvault headers github --tools get_issue,list_issues'],
    ["for Claude Code's headersHelper", `mcpvault headers --header 'Authorization: Bearer {{ vault "notes_token" }}'`],
  ],
}

/** Registers `headers`. */
export function addHeadersCommand(parent: Command, context: Context, run = runHeaders): void {
  addCommand(parent, HEADERS, (options) => run(options, context))
}

/** Prints headers with credentials filled in, as the JSON object that Claude Code takes from its `headersHelper`. */
export async function runHeaders(options: HeadersOptions, context: Context): Promise<void> {
  const { server, tools, headers, config } = options
  if (headers.length === 0 && server === undefined) {
    throw new VaultError('USAGE', 'cannot print headers: none was named', {
      hints: ['mcpvault headers SERVER', `mcpvault headers --header 'Authorization: Bearer {{ vault "NAME" }}'`],
    })
  }
  if (server === undefined && (tools ?? config) !== undefined) {
    const flag = tools === undefined ? '--config' : '--tools'
    throw new VaultError('USAGE', `cannot use ${flag}: it belongs to a token for a server that is named`)
  }
  const opened = await openForReading(options, context, 'needed')
  const { vault } = opened
  const tokenFor = async (name: string): Promise<string> =>
    `Bearer ${await serverToken({ server: name, tools, config }, opened, context)}`
  const token = server === undefined ? [] : [['Authorization', await tokenFor(server)]]
  const filled = headers.map(({ name, template }) => {
    const { bytes } = fillTemplate(Buffer.from(template), (reference) =>
      vault.load(reference.name, { version: reference.version, nowMs: context.now() }),
    )
    const text = bytes.toString('utf8')
    bytes.fill(0)
    if (/[\0\r\n\uFFFD]/.test(text)) {
      throw new VaultError('INPUT', `cannot print the header "${name}": its value holds what no header can`)
    }
    return [name, text] as const
  })
  context.stdout.write(`${JSON.stringify(Object.fromEntries([...token, ...filled]))}\n`)
}

function parseHeader(text: string, long: string): HeaderTemplate {
  const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]?([\s\S]*)$/.exec(text)
  // What was typed in the wrong place may be a value.
  if (match === null) throw new VaultError('USAGE', `cannot read ${long}: expected "NAME: TEXT"`)
  return { name: match[1] ?? '', template: match[2] ?? '' }
}
