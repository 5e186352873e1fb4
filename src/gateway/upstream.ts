/**
 * What an MCP server behind the gateway is to the rest of it. `http-upstream.ts` relays to a URL; a stdio child and the
 * built-in tools stand behind the same interface.
 */

import type { ToolDefinition } from '../tokens/digest.js'
import type { Frame } from './frame.js'

/** Which version of a credential a request would be made with. */
export interface CredentialUse {
  readonly name: string
  /** Undefined in the tutorial format. */
  readonly version: number | undefined
}

/** One HTTP request of a client, accepted and recorded. */
export interface UpstreamRequest {
  /** `POST` sends a message; `GET` opens the stream of the server's own messages, `DELETE` ends a session (2025 eras). */
  readonly verb: 'POST' | 'GET' | 'DELETE'
  /** What a POST carries. */
  readonly frame: Frame | undefined
  /** Headers that may go on, in lower case: never Authorization, Cookie or Host. */
  readonly headers: Readonly<Record<string, string>>
  /** Aborted when the client has gone away. */
  readonly signal: AbortSignal
  /**
   * To be called at the last moment before anything is sent: the token may have been revoked since.
   *
   * @throws {RpcError} if nothing may be sent any more.
   */
  checkAgain(): void
}

/** One message of a server's stream. */
export interface ServerEvent {
  /** A JSON-RPC message, or empty: an event that only carries an id. */
  readonly data: string
  readonly id?: string | undefined
  readonly event?: string | undefined
  /** Milliseconds. */
  readonly retry?: string | undefined
}

/** What an upstream answers. Everything in it has been redacted; lists are not filtered yet. */
export interface UpstreamAnswer {
  readonly status: number
  /** In lower case; `content-type` and `content-length` are set from the body. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: AnswerBody
}

/** The body of an answer. */
export type AnswerBody =
  | { readonly type: 'none' }
  /** One JSON-RPC message. */
  | { readonly type: 'message'; readonly text: string }
  /** Messages, until the stream ends; a list if it has. Whoever stops reading early ends the request. */
  | { readonly type: 'events'; readonly events: AsyncIterable<ServerEvent> | readonly ServerEvent[] }
  /** Whatever else the upstream says, such as a plain error text. */
  | { readonly type: 'other'; readonly text: string; readonly contentType: string }

/** Messages as they come. */
export type EventsBody = Extract<AnswerBody, { readonly type: 'events' }>

/** Whether a stream has ended by now. */
export function isWhole(events: EventsBody['events']): events is readonly ServerEvent[] {
  return Array.isArray(events)
}

/** A tool as its own upstream names it. */
export interface UpstreamTool {
  readonly upstream: Upstream
  readonly tool: string
}

/** Where a request goes, for the audit log: never "all of them" where one is meant. */
export function destination(
  upstream: Upstream,
  tool: string | undefined,
): { readonly upstream: string; readonly place: string; readonly tool: string | undefined } {
  const behind = tool === undefined ? undefined : upstream.behind?.(tool)
  const { name, place } = behind?.upstream ?? upstream
  return { upstream: name, place, tool: behind?.tool ?? tool }
}

/** An MCP server behind the gateway. */
export interface Upstream {
  readonly name: string
  /** For the audit log: a host, or a command's name. */
  readonly place: string
  /** How tokens name one of its tools: `UPSTREAM/tool`, or a builtin's bare name. */
  tokenTool(tool: string): string
  /** How tokens name all of its tools, also those that are added later. */
  readonly allTools: readonly string[]
  /** Where a tool really is, if this stands for several upstreams; undefined for a tool that none of them can have. */
  behind?(tool: string): UpstreamTool | undefined
  /** Gives a tool's definition as its own upstream lists it, where that cannot be asked in the client's own words. */
  definition?(tool: string): Promise<ToolDefinition | undefined>
  /** The credentials that the next request would use; nothing is decrypted for this. @throws {VaultError} */
  credentials(tool?: string, session?: string): readonly CredentialUse[]
  /**
   * Carries a request. The intent stands in the audit log by now, and the token's budgets are spent.
   *
   * @throws {RpcError} if the answer is the gateway's own; {@link VaultError} UPSTREAM if the upstream failed,
   * NOT_FOUND, DAMAGED… if a credential could not be loaded.
   */
  exchange(request: UpstreamRequest): Promise<UpstreamAnswer>
  /** The versions that are in a child's hands, where there is one: they are held longer than a request. */
  readonly holding?: readonly CredentialUse[]
  /** Whether a client's GET opens a stream of the server's own messages without a session. */
  readonly speaksFirst?: boolean
  /** Gets ready before the first request; what goes wrong is reported. */
  begin?(): void
  /** Ends the streams of the server's own messages: nothing new is taken any more, and they would be waited for. */
  endStreams?(): void
  /** Ends what is open, at the latest after `graceMs`. */
  close(graceMs: number): Promise<void>
}
