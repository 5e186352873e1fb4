/** A client's request and its answer, apart from how they came. */

/** One HTTP request of a client, its headers looked at and its body not read yet. */
export interface ClientRequest {
  readonly verb: 'POST' | 'GET' | 'DELETE'
  /** What stood in Authorization. */
  readonly token: string | undefined
  /** Those that may go on, in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Reads the body. @throws {RpcError} if it is too long or does not come in time */
  readBody(): Promise<Buffer>
  /** Aborted when the client has gone away. */
  readonly signal: AbortSignal
}

/** What a client gets. */
export interface ClientAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Text, or pieces of a stream. */
  readonly body: string | AsyncIterable<string> | undefined
}
