import type { Frame } from './frame.js'

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/

/** Gives the trace id of a request (W3C Trace Context): `_meta.traceparent`, else the header. */
export function traceOf(params: Frame['params'], headers: Readonly<Record<string, string>>): string | undefined {
  const meta = params?._meta
  const inBody = typeof meta === 'object' && meta !== null && 'traceparent' in meta ? meta.traceparent : undefined
  const text = typeof inBody === 'string' ? inBody : headers.traceparent
  return text === undefined ? undefined : TRACEPARENT.exec(text)?.[1]
}

type Params = Readonly<Record<string, unknown>>

/** Gives params with the trace of the headers, where they have none of their own; else as they are. */
export function withTrace<T extends Params | undefined>(
  params: T,
  { traceparent, tracestate }: Readonly<Record<string, string | undefined>>,
): T | Record<string, unknown> {
  const meta = (params?._meta ?? {}) as Params
  if (traceparent === undefined || 'traceparent' in meta) return params
  const trace = { traceparent, ...(tracestate !== undefined && { tracestate }) }
  return { ...params, _meta: { ...trace, ...meta } }
}
