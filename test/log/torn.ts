/** Logs torn by a crash in the middle of an append, at some lengths or at every one. */
import { expect } from 'vitest'
import { appendRecords } from '../../src/log/append.js'
import { readBackward, readForward, readTail } from '../../src/log/read.js'
import type { LogRecord } from '../../src/log/record.js'
import { foreignRecord, layLines, MemoryLog, makeChain } from './log-support.js'

/** What a crash may leave of a write over the end of `before`, of which the first `length` bytes got through. */
export const CRASHES: Readonly<Record<string, (before: Buffer, written: Buffer, length: number) => Buffer>> = {
  'the file is cut': (before, written, length) => splice(before, written.subarray(0, length)),
  'the rest is zeros': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.alloc(written.length - length)),
  'the rest is zeros to the end of the page': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.alloc(4096)),
  'the rest is what stood there before': (before, written, length) =>
    splice(before, written.subarray(0, length), before.subarray(before.length - 2 + length)),
  'the rest is garbage': (before, written, length) =>
    splice(before, written.subarray(0, length), garbage(written.length - length)),
  'the rest is garbage with line feeds': (before, written, length) =>
    splice(before, written.subarray(0, length), Buffer.from('x}]\n,{\n"\n]\n,"'.repeat(9))),
  'the beginning is what stood there before': (before, written, length) =>
    splice(before, oldPage(length), written.subarray(length)),
}

/** Puts bytes over the end of a log. */
export function splice(before: Buffer, ...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([before.subarray(0, before.length - 2), ...parts])
}

/** The old end, then zeros where the file had none. */
export function oldPage(length: number): Buffer {
  return Buffer.concat([Buffer.from(']\n'), Buffer.alloc(Math.max(0, length - 2))]).subarray(0, length)
}

function garbage(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => (index * 151 + 197) % 256))
}

/** Holds that a torn log is read up to its last complete record, and goes on from there. */
export function check(torn: Buffer, durable: readonly LogRecord[], attempted: readonly LogRecord[]): void {
  const log = new MemoryLog(torn)
  const seen = [...readForward(log.reader())]
  // Everything that was confirmed is there, and of the rest only complete records, in order.
  expect(seen.slice(0, durable.length)).toEqual(durable)
  expect(seen.slice(durable.length)).toEqual(attempted.slice(0, seen.length - durable.length))
  expect([...readBackward(log.reader())].toReversed()).toEqual(seen)
  const tail = readTail(log.reader())
  expect(tail.lastRecord).toEqual(seen.at(-1))

  const next = makeChain(1, seen)
  appendRecords(log.transaction(), next)
  expect(log.bytes?.toString()).toBe(layLines([...seen, ...next]).toString())
  expect(log.replacements).toBe(0)
}

/** What stood in the log before. */
export const DURABLE: Readonly<Record<string, readonly LogRecord[]>> = {
  'a log of three records': makeChain(3),
  'a log of one record': makeChain(1),
  'an empty log': [],
  'a log that ends with a record by others': [
    ...makeChain(2),
    { ...foreignRecord('{"'), nested: [{ a: '}' }] } as LogRecord,
  ],
}

/** Tears an append of one record at each length that is asked for; gives how many there were. */
export function tearOne(crash: string, durable: readonly LogRecord[], isTried: (length: number) => boolean): number {
  const before = layLines(durable)
  const attempted = makeChain(1, durable)
  const written = Buffer.from(`${durable.length > 0 ? ',' : ''}${JSON.stringify(attempted[0])}\n]\n`)
  let checked = 0
  for (let length = 0; length <= written.length; length++) {
    // Garbage instead of the very first record leaves no sign that this ever was a log.
    if (length === 0 && durable.length === 0 && crash.includes('garbage')) continue
    if (!isTried(length) && length > 9 && length < written.length - 9) continue
    check(CRASHES[crash]?.(before, written, length) ?? before, durable, attempted)
    checked++
  }
  return checked
}

/** Tears an append of three records at each length that is asked for. */
export function tearThree(crash: string, isTried: (length: number) => boolean): void {
  const durable = makeChain(2)
  const attempted = makeChain(3, durable)
  const written = Buffer.from(`${attempted.map((record) => `,${JSON.stringify(record)}\n`).join('')}]\n`)
  for (let length = 0; length <= written.length; length++) {
    if (!isTried(length) && written[length] !== 0x0a && written[length - 1] !== 0x0a) continue
    check(CRASHES[crash]?.(layLines(durable), written, length) ?? layLines(durable), durable, attempted)
  }
}

/** Crashes after which something may be left of a batch: not those that take its beginning away. */
export const KEEPING = Object.keys(CRASHES).filter((crash) => !crash.startsWith('the beginning'))
