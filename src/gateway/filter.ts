import type { TokenScope } from '../tokens/caveats.js'
import { digestTool } from '../tokens/digest.js'
import { ANY_TOOL, coversTool } from '../tokens/tool-name.js'
import type { Frame } from './frame.js'
import type { ServerEvent, Upstream } from './upstream.js'

/** Which tools of an upstream a token sees. */
export interface ListFilter {
  readonly scope: TokenScope
  readonly upstream: Pick<Upstream, 'tokenTool' | 'behind'>
}

/** Gives a server's message with only what the token may see of it; every page of a list is such a message. */
export type MessageFilter = (json: string) => string

/**
 * Makes the filter of the messages that answer a request; undefined where there is nothing to hide.
 *
 * @param asked undefined for a stream of the server's own, which may repeat answers to earlier requests.
 */
export function createFilter(asked: Frame | undefined, filter: ListFilter): MessageFilter | undefined {
  const method = asked?.method
  if (method === 'tools/list') return (json) => filterTools(json, filter)
  if (method === 'initialize' || method === 'server/discover') return (json) => filterCapabilities(json, filter.scope)
  if (asked !== undefined || filter.scope.tools.includes(ANY_TOOL)) return undefined
  return (json) => (json.includes('"tools"') || json.includes('\\u') ? filterTools(json, filter) : json)
}

/** Filters the message of an event, where it has one. */
export function filterEvent(event: ServerEvent, filter: MessageFilter | undefined): ServerEvent {
  return filter === undefined || event.data === '' ? event : { ...event, data: filter(event.data) }
}

type Members = Record<string, unknown>

function filterTools(json: string, { scope, upstream }: ListFilter): string {
  const message = parse(json)
  const result = message?.result
  if (message === undefined || !isMembers(result) || !Array.isArray(result.tools)) return json
  const tools = result.tools.filter((tool: unknown) => isSeen(tool, scope, upstream))
  // What one token sees must not be kept for another.
  const scoped = 'cacheScope' in result ? { cacheScope: 'private' } : {}
  return JSON.stringify({ ...message, result: { ...result, tools, ...scoped } })
}

function isSeen(tool: unknown, { tools, digests }: TokenScope, upstream: ListFilter['upstream']): boolean {
  if (!isMembers(tool) || typeof tool.name !== 'string') return false
  const name = upstream.tokenTool(tool.name)
  if (!coversTool(tools, name)) return false
  const pins = digests.filter(([pinned]) => pinned === name)
  const digest =
    pins.length === 0 ? undefined : digestTool({ ...tool, name: upstream.behind?.(tool.name)?.tool ?? tool.name })
  return pins.every(([, pinned]) => pinned === digest)
}

/** The capabilities that a token has to have a method for. */
const CAPABILITIES = { tools: 'tools', resources: 'resources', prompts: 'prompts', completions: 'completion' } as const

function filterCapabilities(json: string, { methods }: TokenScope): string {
  const message = parse(json)
  const result = message?.result
  if (message === undefined || !isMembers(result)) return json
  const scoped = 'cacheScope' in result ? { cacheScope: 'private' } : {}
  if (!isMembers(result.capabilities)) return JSON.stringify({ ...message, result: { ...result, ...scoped } })
  const capabilities = { ...result.capabilities }
  for (const [name, method] of Object.entries(CAPABILITIES)) if (!methods.includes(method)) delete capabilities[name]
  return JSON.stringify({ ...message, result: { ...result, capabilities, ...scoped } })
}

function parse(json: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return isMembers(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
