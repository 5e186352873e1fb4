import type { Reader } from '../storage/store.js'

/** Reads bytes in memory as if they were an open document. */
export function readerOfBytes(bytes: Buffer): Reader {
  return {
    revision: { id: 'bytes', size: bytes.length },
    size: bytes.length,
    read: (position, length) => bytes.subarray(position, position + length),
    close: () => {},
  }
}
