/** Stands for every tool; only `token create` writes it. */
export const ANY_TOOL = '*'

const LONGEST_TOOL_BYTES = 128
/** All tools of one server. A server's name has no `/`, so what is before the first one tells whose tool it is. */
const ALL_OF_SERVER = /^[a-z0-9-]+\/\*$/
// Printable ASCII without white space, without the comma that separates names and without `*`, which is no pattern here.
const TOOL_NAME = /^[!-)+\--.0-~]+(?:\/[!-)+\--.0-~]+)*$/

/** Tells whether a text can be a tool's name: printable, at most 128 bytes, `UPSTREAM/tool` or bare. */
export function isToolName(text: string): boolean {
  return text.length <= LONGEST_TOOL_BYTES && TOOL_NAME.test(text)
}

/** Tells whether a text can be what a token allows: a tool's name, `SERVER/*` or {@link ANY_TOOL}. */
export function isToolEntry(text: unknown): text is string {
  return typeof text === 'string' && (text === ANY_TOOL || isToolName(text) || isAllOfServer(text))
}

/** Tells whether a text stands for all tools of one server: `SERVER/*`. */
export function isAllOfServer(text: string): boolean {
  return text.length <= LONGEST_TOOL_BYTES && ALL_OF_SERVER.test(text)
}

/** Tells whether one of the entries of a token allows a tool, or all that another entry does. */
export function coversTool(entries: readonly string[], tool: string): boolean {
  return entries.some((entry) => covers(entry, tool))
}

/** Gives the entries that both lists allow, each once. */
export function intersectTools(left: readonly string[], right: readonly string[]): readonly string[] {
  const both = [...left.filter((one) => coversTool(right, one)), ...right.filter((one) => coversTool(left, one))]
  return [...new Set(both)]
}

function covers(entry: string, tool: string): boolean {
  return entry === ANY_TOOL || entry === tool || (isAllOfServer(entry) && tool.startsWith(entry.slice(0, -1)))
}
