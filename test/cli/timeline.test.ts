import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { widthOf } from '../../src/cli/picture.js'
import { drawTimeline, listComing } from '../../src/cli/timeline-picture.js'
import type { Coming } from '../../src/rotation/timeline.js'
import { DAY_MS, json, nativeWorld, rotate, store, succeed, withStdin } from './commands/support.js'

const NOW = Date.UTC(2026, 10, 22, 12)
const FRAME = { columns: 80, isUnicode: true }

function coming(event: Coming['event'], days: number, rest: Partial<Coming> = {}): Coming {
  return { name: 'a', atMs: NOW + days * DAY_MS, event, version: 1, what: `${event} it is`, ...rest }
}

function drawn(events: readonly Coming[], columns = 80): readonly string[] {
  return drawTimeline({ events, nowMs: NOW }, { ...FRAME, columns }).map((line) =>
    line.map(({ text }) => text).join(''),
  )
}

describe('the timeline', () => {
  it('marks the end of a grace and the day on which a credential is due, in letters, from now on', () => {
    const events = [coming('grace ends', 7), coming('due', 28), coming('stuck rotation', 0, { name: 'b' })]
    const lines = drawn(events.toSorted((a, b) => a.atMs - b.atMs))
    expect(lines.slice(0, 2)).toEqual([
      'Coming up: | is now, g the end of a grace, D due; 28d wide',
      '  b  !-----------------------------  now: stuck rotation it is',
    ])
    expect(lines[2]).toMatch(/^ {2}a {2}\|-{6}g-{21}D {2}in 7d: grace ends it is$/)
  })

  it('is left out when nothing is foreseen', () => {
    expect(drawn([])).toEqual([])
  })

  it('is never wider than the terminal, and drops the axis before the words', () => {
    const event = fc.record({
      name: fc.string({ maxLength: 60 }),
      days: fc.integer({ min: 0, max: 4000 }),
      event: fc.constantFrom<Coming['event']>('due', 'grace ends', 'stuck rotation'),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 6 }), fc.integer({ min: 1, max: 200 }), (made, columns) => {
        const events = made.map(({ name, days, event }) => coming(event, days, { name }))
        for (const line of drawn(events, columns)) expect(widthOf(line)).toBeLessThanOrEqual(columns)
      }),
    )
    expect(drawn([coming('due', 3)], 26)[1]).toBe('  a  in 3d: due it is')
  })
})

describe('status and history', () => {
  it('show what is coming, in a picture and in JSON', async () => {
    const world = await nativeWorld()
    await store(world, 'generated', 'x')
    await store(world, 'pasted', 'x')
    await succeed(world, 'rotate', 'generated', '--generate', '--grace', '2d')
    await rotate(world, 'pasted', 'y')
    const { coming: events } = await json<{ coming: readonly object[] }>(world, 'status')
    expect(events).toEqual([
      {
        name: 'generated',
        at: '2026-11-24T12:00:00.000Z',
        event: 'grace ends',
        version: 1,
        what: 'version 1 is wiped',
      },
      {
        name: 'pasted',
        at: '2026-11-29T12:00:00.000Z',
        event: 'grace ends',
        version: 1,
        what: 'version 1 is to be revoked by a person',
      },
      { name: 'generated', at: '2026-12-22T12:00:00.000Z', event: 'due', version: 2, what: 'due by age' },
      { name: 'pasted', at: '2026-12-22T12:00:00.000Z', event: 'due', version: 2, what: 'due by age' },
    ])
    world.env.TERM = 'xterm'
    world.env.NO_COLOR = '1'
    world.setTerminal(true)
    const picture = await succeed(world, 'status')
    expect(picture).toContain('Coming up: | is now')
    expect(picture).toContain('in 2d: version 1 is wiped')
    for (const line of picture.split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(80)
    expect(await succeed(world, 'history', 'pasted')).toContain(
      'Coming up\n  in 7d   2026-11-29  version 1 is to be revoked by a person\n  in 30d  2026-12-22  due by age\n',
    )
    world.nowMs += 8 * DAY_MS
    expect(await succeed(world, 'history', 'pasted')).toContain(
      'Coming up\n  now  2026-11-30  version 1 is to be revoked by a person\n',
    )
  })

  it('tell a rotation that was interrupted first', async () => {
    const world = await nativeWorld()
    await store(world, 'name', 'x')
    await world.run('rotate', 'name', '--generate', '--on-rotate', '/bin/false')
    const status = await json<{ coming: readonly object[] }>(world, 'status')
    expect(status.coming[0]).toMatchObject({ event: 'stuck rotation', name: 'name' })
    world.stdin = undefined
    expect(listComing({ events: [], nowMs: NOW })).toEqual([])
    await withStdin(world, 'z', 'store', 'z', '--stdin')
  })
})
