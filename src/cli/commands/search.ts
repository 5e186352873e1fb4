import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { DEFAULT_RESULTS, SEARCH_DIGEST, SEARCH_TOOL } from '../../search/definition.js'
import { checkSearch, parseBaseUrl, SEARCH_CREDENTIAL, search } from '../../search/search.js'
import type { Secret } from '../../secret.js'
import type { Vault } from '../../vault/vault.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { type CommandShape, type GlobalOptions, wholeNumber } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { NO_TOKEN_ARGUMENT, readToken, TOKEN_FILE_FLAG } from '../read-token.js'
import { withSpinner } from '../spinner.js'
import { checkToken, spendCall } from '../token-access.js'
import { shownJson, visible } from '../visible.js'

/** Options of `search`. */
export interface SearchOptions extends GlobalOptions {
  readonly query: string
  readonly numResults?: number
  readonly tokenFile?: string
}

const SEARCH: CommandShape<SearchOptions> = {
  name: 'search',
  positionals: [{ key: 'query', arity: 'one' }],
  flags: [
    {
      key: 'numResults',
      long: '--num-results',
      short: '-n',
      value: 'N',
      help: 'how many results, 1 to 20 (5)',
      parse: wholeNumber(1, 20),
    },
    TOKEN_FILE_FLAG,
  ],
  refuseExtra: 'cannot search: the query is one argument; put it in quotes',
  refuseFlags: { '--token': NO_TOKEN_ARGUMENT },
  examples: [
    ['search with a token from the environment', 'MCPVAULT_TOKEN=$TOKEN mcpvault search "model context protocol"'],
    ['one result as the API gave it', 'mcpvault search "model context protocol" -n 1 --token-file token.txt --json'],
  ],
}

/** Registers `search`. */
export function addSearchCommand(parent: Command, context: Context, run = runSearch): void {
  addCommand(parent, SEARCH, (options) => run(options, context))
}

/**
 * Searches the web: checks the token, loads the credential for this one request, spends a call of the token, calls. What
 * can be found wrong before the request is sent spends nothing.
 */
export async function runSearch(options: SearchOptions, context: Context): Promise<void> {
  const token = await readToken(options, context)
  const { vault, access } = await openForReading(options, context, 'needed')
  const { query, numResults = DEFAULT_RESULTS } = options
  const args = { query, num_results: numResults }
  const request = { tool: SEARCH_TOOL, method: 'tools', args, digest: SEARCH_DIGEST } as const
  const verdict = checkToken(token, request, { vault, access })
  if (!verdict.allowed) throw unauthorized()
  const credential = loadCredential(vault, context)
  try {
    const baseUrl = parseBaseUrl(context.env.SCAVIO_BASE_URL)
    checkSearch(query, { credential, numResults })
    if (!(await spendCall(verdict, { vault, access }))) throw unauthorized()
    const answer = await withSpinner(
      context,
      { label: 'searching', quiet: options.quiet },
      search(query, { credential, baseUrl, numResults }),
    )
    const body = answer.body.endsWith('\n') ? answer.body : `${answer.body}\n`
    if (options.json) context.stdout.write(shownJson(body, context.stdout))
    else context.stdout.write(formatResults(answer.results))
  } finally {
    credential.wipe()
  }
}

function unauthorized(): VaultError {
  return new VaultError('UNAUTHORIZED', 'Unauthorized or expired token', {
    hints: ['mcpvault token create --tools web_search'],
  })
}

function loadCredential(vault: Vault, context: Context): Secret {
  if (vault.describe(SEARCH_CREDENTIAL) === undefined) {
    throw new VaultError('NOT_FOUND', 'Credential not configured', { hints: [`mcpvault store ${SEARCH_CREDENTIAL}`] })
  }
  return vault.load(SEARCH_CREDENTIAL, { nowMs: context.now() })
}

function formatResults(
  results: readonly { readonly title: string; readonly url: string; readonly snippet: string }[],
): string {
  const blocks = results.map(({ title, url, snippet }) => `\n${visible(title)}\n${visible(url)}\n${visible(snippet)}\n`)
  return `Results: ${results.length}\n${blocks.join('')}`
}
