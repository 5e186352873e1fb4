/**
 * What is coming, as a line of time for each credential: `|` is now, `g` the end of an old value's grace, `D` the day on
 * which it is due, `!` what has to be done now. Letters, so that it reads the same without colour.
 *
 * @module
 */

import { formatSpan } from '../duration.js'
import type { Coming } from '../rotation/timeline.js'
import { formatUtc } from '../timestamp.js'
import { cut, cutLine, type Frame, type Line, type Span, widthOf } from './picture.js'
import { visible } from './visible.js'

/** What is foreseen, seen from now. */
export interface Foreseen {
  /** The first first. */
  readonly events: readonly Coming[]
  readonly nowMs: number
}

const MOST = 3
const [SHORTEST_AXIS, LONGEST_AXIS] = [10, 30]
const LONGEST_NAME = 20
const MARKS: Readonly<Record<Coming['event'], string>> = { due: 'D', 'grace ends': 'g', 'stuck rotation': '!' }

/** Draws the credentials about which something has to be done first, one a line; nothing when nothing is foreseen. */
export function drawTimeline(
  { events, nowMs }: Foreseen,
  frame: Pick<Frame, 'columns' | 'isUnicode'>,
): readonly Line[] {
  const names = [...new Set(events.map(({ name }) => name))].slice(0, MOST)
  if (names.length === 0) return []
  const rows = names.map((name) => ({
    name: cut(visible(name), LONGEST_NAME, frame.isUnicode),
    events: events.filter((event) => event.name === name),
  }))
  const farthest = Math.max(...rows.flatMap((row) => row.events.map(({ atMs }) => atMs - nowMs)), 1)
  const nameWidth = Math.max(...rows.map(({ name }) => widthOf(name)))
  const text = Math.max(...rows.map((row) => widthOf(sentence(row.events[0], nowMs))))
  const axis = Math.min(LONGEST_AXIS, frame.columns - nameWidth - text - 6)
  const lines = rows.map((row): Line => {
    const name: Span = { text: `  ${row.name}${' '.repeat(nameWidth - widthOf(row.name))}  ` }
    const end: Span = {
      text: sentence(row.events[0], nowMs),
      tone: (row.events[0]?.atMs ?? 0) <= nowMs ? 'bad' : undefined,
    }
    if (axis < SHORTEST_AXIS) return [name, end]
    return [name, { text: drawAxis(row.events, { width: axis, nowMs, farthest }) }, { text: '  ' }, end]
  })
  const scale =
    axis < SHORTEST_AXIS ? '' : `: | is now, g the end of a grace, D due; ${formatSpan(farthest / 1000)} wide`
  const heading: Line = [
    { text: 'Coming up', tone: 'strong' },
    { text: scale, tone: 'faint' },
  ]
  return [heading, ...lines].map((line) => cutLine(line, frame))
}

interface Axis {
  readonly width: number
  readonly nowMs: number
  readonly farthest: number
}

function drawAxis(events: readonly Coming[], { width, nowMs, farthest }: Axis): string {
  const cells = ['|', ...'-'.repeat(width - 1)]
  // The first event wins where two fall into one cell.
  for (const { atMs, event } of events.toReversed()) {
    const at = Math.min(width - 1, Math.round(((atMs - nowMs) / farthest) * (width - 1)))
    cells[Math.max(0, at)] = atMs <= nowMs ? '!' : MARKS[event]
  }
  return cells.join('')
}

/** Says when and what: `in 7d: version 1 is wiped`. */
function sentence(event: Coming | undefined, nowMs: number): string {
  if (event === undefined) return ''
  return `${whenOf(event, nowMs)}: ${event.what}`
}

function whenOf({ atMs }: Coming, nowMs: number): string {
  return atMs <= nowMs ? 'now' : `in ${formatSpan((atMs - nowMs) / 1000)}`
}

/** Lists what is foreseen of one credential, a dated line each. */
export function listComing({ events, nowMs }: Foreseen): readonly string[] {
  const whens = events.map((event) => whenOf(event, nowMs))
  const width = Math.max(0, ...whens.map((when) => when.length))
  return events.map(({ atMs, what }, index) => {
    return `  ${(whens[index] ?? '').padEnd(width)}  ${formatUtc(atMs).slice(0, 10)}  ${what}`
  })
}
