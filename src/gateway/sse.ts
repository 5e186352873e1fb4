/** Server-sent events (WHATWG HTML section 9.2), as MCP uses them: read from chunks, written anew. */

import { StringDecoder } from 'node:string_decoder'
import type { ServerEvent } from './upstream.js'

/** What a stream of events is sent with, so that nobody on the way holds it up or keeps it. */
export const EVENTS_HEADERS = {
  'content-type': 'text/event-stream',
  'x-accel-buffering': 'no',
  'cache-control': 'no-cache, no-transform',
} as const

/** Reads events from chunks of bytes; comments are dropped, an event that its end cuts off too. */
export class EventReader {
  readonly #decoder = new StringDecoder('utf8')
  readonly #maxLength: number
  #rest = ''
  #data: string | undefined
  #id: string | undefined
  #event: string | undefined
  #retry: string | undefined
  #length = 0

  /** @param maxLength of one event, in characters. */
  constructor(maxLength: number) {
    this.#maxLength = maxLength
  }

  /** Takes a chunk and gives the events that it completes. @throws {RangeError} if one is too long */
  push(chunk: Buffer): readonly ServerEvent[] {
    const events: ServerEvent[] = []
    const text = this.#rest + this.#decoder.write(chunk)
    let from = 0
    for (;;) {
      const end = findLineEnd(text, from)
      if (end === undefined) break
      const event = this.#takeLine(text.slice(from, end.at))
      if (event !== undefined) events.push(event)
      from = end.next
    }
    this.#rest = text.slice(from)
    if (this.#rest.length + this.#length > this.#maxLength) throw new RangeError('an event is too long')
    return events
  }

  #takeLine(line: string): ServerEvent | undefined {
    if (line === '') return this.#finish()
    const colon = line.indexOf(':')
    if (colon === 0) return undefined
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    this.#length += value.length
    if (field === 'data') this.#data = this.#data === undefined ? value : `${this.#data}\n${value}`
    else if (field === 'id' && !value.includes('\0')) this.#id = value
    else if (field === 'event') this.#event = value
    else if (field === 'retry' && /^\d{1,9}$/.test(value)) this.#retry = value
    return undefined
  }

  #finish(): ServerEvent | undefined {
    const [data, id, event, retry] = [this.#data, this.#id, this.#event, this.#retry]
    this.#data = this.#id = this.#event = this.#retry = undefined
    this.#length = 0
    return data === undefined && id === undefined && retry === undefined
      ? undefined
      : { data: data ?? '', id, event, retry }
  }
}

/** A lone CR at the end of a chunk may be the first half of CRLF: it waits for the next. */
function findLineEnd(text: string, from: number): { readonly at: number; readonly next: number } | undefined {
  const feed = text.indexOf('\n', from)
  const carriage = text.indexOf('\r', from)
  if (carriage < 0 || (feed >= 0 && feed < carriage)) return feed < 0 ? undefined : { at: feed, next: feed + 1 }
  if (carriage === text.length - 1) return undefined
  return { at: carriage, next: text[carriage + 1] === '\n' ? carriage + 2 : carriage + 1 }
}

/** Prints an event. Data of several lines stays so. */
export function formatEvent({ data, id, event, retry }: ServerEvent): string {
  const lines: string[] = []
  if (event !== undefined) lines.push(`event: ${oneLine(event)}`)
  if (id !== undefined) lines.push(`id: ${oneLine(id)}`)
  if (retry !== undefined) lines.push(`retry: ${oneLine(retry)}`)
  for (const line of data.split(/\r\n|\r|\n/)) lines.push(`data: ${line}`)
  return `${lines.join('\n')}\n\n`
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, '')
}
