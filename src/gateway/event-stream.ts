import type { EventsBody, ServerEvent } from './upstream.js'

/** Gives events on, and tells when nobody reads them any more or they have ended. */
export async function* whileOpen(events: EventsBody['events'], done: () => void): AsyncGenerator<ServerEvent> {
  try {
    yield* events
  } finally {
    done()
  }
}

/** Reads a stream that ends by itself. */
export async function readAll(events: EventsBody['events']): Promise<readonly ServerEvent[]> {
  const all: ServerEvent[] = []
  for await (const event of events) all.push(event)
  return all
}
