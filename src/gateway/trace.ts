import type { Frame } from './frame.js'

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$/

/** Gives the trace id of a request (W3C Trace Context): `_meta.traceparent`, else the header. */
export function traceOf(params: Frame['params'], headers: Readonly<Record<string, string>>): string | undefined {
  const meta = params?._meta
  const inBody = typeof meta === 'object' && meta !== null && 'traceparent' in meta ? meta.traceparent : undefined
  const text = typeof inBody === 'string' ? inBody : headers.traceparent
  return text === undefined ? undefined : TRACEPARENT.exec(text)?.[1]
}
