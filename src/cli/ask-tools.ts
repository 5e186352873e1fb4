import { SEARCH_TOOL } from '../search/definition.js'
import { TokenRecords } from '../tokens/records.js'
import { matching } from './ask-missing.js'
import { describeScope } from './commands/token-create.js'
import type { Context } from './context.js'
import type { Opened } from './open-vault.js'
import { parseNames } from './token-flags.js'

/** Asks which tools a token is for, completing those of earlier tokens. @throws {VaultError} USAGE, CANCELLED */
export async function askTools(opened: Opened, context: Context): Promise<readonly string[]> {
  const tools = [...new Set([SEARCH_TOOL, ...toolsOfTokens(opened, context)])]
  return parseNames(
    await context.prompt.search('Which tools may it call? (several: with commas)', (typed) => listing(tools, typed)),
  )
}

function toolsOfTokens({ vault, access }: Opened, context: Context): readonly string[] {
  const records = TokenRecords.open(access.store, vault)
  try {
    return records.live(context.now()).flatMap(({ caveats }) => describeScope(caveats).tools)
  } finally {
    records.close()
  }
}

/** Completes the last name of a list; what was typed is a choice itself, since tools may be new. */
function listing(known: readonly string[], typed: string): readonly string[] {
  const at = typed.lastIndexOf(',') + 1
  const front = typed.slice(0, at)
  const named = front.split(',').map((name) => name.trim())
  const found = matching(known, typed.slice(at).trim()).filter((name) => !named.includes(name))
  const completed = found.map((name) => front + name)
  const isOwn = typed.slice(at).trim() !== '' && !completed.includes(typed)
  return isOwn ? [...completed, typed] : completed
}
