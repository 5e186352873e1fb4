import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { nearestName } from '../../vault/name.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { formatHelp, HELP_TOPICS } from '../help.js'
import { allRows, findPath } from '../tree.js'

/** Options of `help`. */
export interface HelpOptions extends GlobalOptions {
  /** The words of a command's name, or a topic; empty for the overview. */
  readonly topics: readonly string[]
}

const HELP: CommandShape<HelpOptions> = {
  name: 'help',
  positionals: [{ key: 'topics', arity: 'many' }],
  examples: [['what the exit codes mean', 'mcpvault help exit-codes']],
}

/** Registers `help`. */
export function addHelpCommand(parent: Command, context: Context, run = runHelp): void {
  addCommand(parent, HELP, (options) => run(options, context))
}

/** Prints the overview, a topic, or a command's help. */
export async function runHelp({ topics, json }: HelpOptions, context: Context): Promise<void> {
  const text = await findText(topics, context)
  context.stdout.write(json ? `${JSON.stringify({ topic: topics.join(' '), text })}\n` : text)
}

async function findText(topics: readonly string[], context: Context): Promise<string> {
  const [first] = topics
  if (first === undefined) return formatHelp()
  const topic = topics.length === 1 && Object.hasOwn(HELP_TOPICS, first) ? HELP_TOPICS[first] : undefined
  if (topic) return topic()
  if (!findPath(topics)) throw unknownTopic(topics)
  let text = ''
  const stdout = {
    write: (part: string | Buffer) => {
      text += part.toString()
    },
    isTerminal: false,
    columns: 80,
  }
  const { runProgram } = await import('../program.js')
  await runProgram([...topics, '--help'], { ...context, stdout })
  return text
}

/** The first word that is not known may be a slip for one that is. */
function unknownTopic(topics: readonly string[]): VaultError {
  const at = topics.findIndex((_, index) => !findPath(topics.slice(0, index + 1)))
  const above = topics.slice(0, at)
  const rows = at === 0 ? allRows() : (findPath(above)?.rows ?? [])
  const names = [...rows.map(({ name }) => name), ...(at === 0 ? Object.keys(HELP_TOPICS) : [])]
  const nearest = nearestName(topics[at] ?? '', names)
  const words = [...above, ...(nearest === undefined ? [] : [nearest])]
  return new VaultError('USAGE', 'there is no help on that', { hints: [['mcpvault help', ...words].join(' ')] })
}
