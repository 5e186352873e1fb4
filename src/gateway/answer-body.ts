import { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { VaultError } from '../errors.js'

/** The most that one message may have, in bytes after decompression. */
export const MAX_ANSWER_BYTES = 10 * 1024 * 1024
/** How many times larger a body may become by decompression. */
const MOST_RATIO = 100
/** Small bodies of one repeated letter compress better than that, and do no harm. */
const RATIO_FROM_BYTES = 64 * 1024

const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress }

/**
 * Decompresses a body as it comes.
 *
 * @throws {VaultError} UPSTREAM if it is cut short, malformed, in an encoding that nobody asked for, or grows too much.
 */
export function decodeBody(
  body: AsyncIterable<Buffer>,
  encoding: string | undefined,
  place: string,
): AsyncIterable<Buffer> {
  const name = encoding?.trim().toLowerCase() ?? 'identity'
  return name === 'identity' || name === '' ? body : decompress(body, name, place)
}

async function* decompress(body: AsyncIterable<Buffer>, name: string, place: string): AsyncGenerator<Buffer> {
  if (!Object.hasOwn(DECODERS, name)) throw failure(place, 'the answer is in an unknown encoding')
  let compressed = 0
  const source = Readable.from(
    count(body, (bytes) => {
      compressed += bytes
    }),
  )
  const decoder = DECODERS[name as keyof typeof DECODERS]()
  source.on('error', (error) => decoder.destroy(error))
  source.pipe(decoder)
  let length = 0
  try {
    for await (const chunk of decoder as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length > RATIO_FROM_BYTES && length > compressed * MOST_RATIO)
        throw failure(place, 'the answer inflates too much')
      yield chunk
    }
  } catch (error) {
    throw error instanceof VaultError ? error : failure(place, 'the answer was cut short or is not well compressed')
  } finally {
    source.destroy()
    decoder.destroy()
  }
}

/** Reads a body whole. @throws {VaultError} UPSTREAM if it is over {@link MAX_ANSWER_BYTES}, and as {@link decodeBody} */
export async function readBody(body: AsyncIterable<Buffer>, place: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > MAX_ANSWER_BYTES) throw tooLong(place)
    chunks.push(chunk)
  }
  return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, length)
}

/** Makes the error of an answer that is over {@link MAX_ANSWER_BYTES}. */
export function tooLong(place: string): VaultError {
  return failure(place, 'the answer is over 10 MiB')
}

async function* count(body: AsyncIterable<Buffer>, add: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of body) {
    add(chunk.length)
    yield chunk
  }
}

function failure(place: string, reason: string): VaultError {
  return new VaultError('UPSTREAM', `cannot call "${place}": ${reason}`)
}
