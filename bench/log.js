/** Writes a long rotation log in the layout of docs/file-format.md, with a correct hash chain. */
import { createHash } from 'node:crypto'
import { closeSync, openSync, writeSync } from 'node:fs'

const FLUSH_BYTES = 1 << 20

/**
 * Writes `count` records by the tutorial's clock (local time, no zone), one a second up to now.
 *
 * @param {string} path
 * @param {{ count: number, nameOf: (index: number) => string }} options `nameOf(0)` is the oldest record's.
 */
export function writeLog(path, { count, nameOf }) {
  const fd = openSync(path, 'w', 0o600)
  const endMs = Date.now() - new Date().getTimezoneOffset() * 60_000
  let prev = '0'.repeat(64)
  let text = '[\n'
  for (let index = 0; index < count; index += 1) {
    const record = {
      credential: nameOf(index),
      rotated_at: `${new Date(endMs - (count - index) * 1000).toISOString().slice(0, 23)}000`,
      action: 'rotated',
      seq: index + 1,
      id: (index + 1).toString(16).padStart(16, '0'),
      by: 'bench@localhost',
      prev,
    }
    const body = JSON.stringify(record)
    prev = createHash('sha256').update(body).digest('hex')
    text += `${index === 0 ? '' : ','}${body.slice(0, -1)},"hash":"${prev}"}\n`
    if (text.length > FLUSH_BYTES) {
      writeSync(fd, text)
      text = ''
    }
  }
  writeSync(fd, `${text}]\n`)
  closeSync(fd)
}
