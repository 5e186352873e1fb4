/**
 * The geometry of `status`: text laid out in a frame of columns and lines. Pure; nothing here knows a terminal.
 *
 * A line is a row of spans, each with a tone; colour is never the only thing that tells, so that the picture reads the
 * same without it.
 *
 * @module
 */

import { formatDuration, formatSpan } from '../duration.js'
import { type AgedCredential, shareOf } from '../rotation/overview.js'
import { countOf, type Tone } from './printer.js'
import { visible } from './visible.js'

/** A piece of a line. Its text is safe for a terminal already. */
export interface Span {
  readonly text: string
  readonly tone?: Tone | undefined
}

/** One line. */
export type Line = readonly Span[]

/** What the picture must fit into. */
export interface Frame {
  readonly columns: number
  /** How many lines may be drawn. */
  readonly lines: number
  readonly isUnicode: boolean
}

/** A live token, as far as the picture shows it. */
export interface ShownToken {
  readonly name: string
  readonly tools: readonly string[]
  /** Undefined for one that never ends. */
  readonly secondsLeft: number | undefined
  /** Undefined for one without a budget. */
  readonly callsLeft?: number | undefined
}

/** A change of the log, as far as the picture shows it. */
export interface ShownChange {
  /** How long ago, in words. */
  readonly when: string
  readonly action: string
  readonly name: string
  readonly version: number | undefined
  readonly by: string | undefined
}

/** A sentence on what is due now and next. The name gives way where it is too long; empty when nothing will be due. */
export interface Summary {
  readonly before: string
  readonly name: string
  readonly after: string
}

/** All that the picture shows. */
export interface View {
  readonly path: string
  /** What kind of vault it is, in words. */
  readonly facts: string
  /** The most urgent first. */
  readonly credentials: readonly AgedCredential[]
  readonly summary: Summary
  /** What is coming, drawn already (`timeline-picture.ts`). */
  readonly timeline?: readonly Line[]
  /** A sentence instead, where they are not known. */
  readonly tokens: readonly ShownToken[] | string
  readonly changes: readonly ShownChange[] | string
  readonly nowMs: number
}

/** The credential's part of its limit from which on its bar warns. */
const WARN_SHARE = 0.75
const WIDEST = 120
const MOST_TOKENS = 3
const [SHORTEST_BAR, LONGEST_BAR] = [6, 30]
const [SHORTEST_NAME, LONGEST_NAME] = [8, 28]
/** So many credentials are shown even where they do not fit. */
const FEWEST_CREDENTIALS = 3

/** Draws the whole picture; no line is wider than the frame. */
export function drawPicture(view: View, frame: Frame): readonly Line[] {
  const columns = Math.min(Math.max(frame.columns, 1), WIDEST)
  const within = { ...frame, columns }
  const tokens = drawTokens(view.tokens, within)
  const changes = drawChanges(view.changes, within)
  const timeline = view.timeline === undefined || view.timeline.length === 0 ? [] : [...view.timeline, []]
  const below = [[{ text: drawSummary(view.summary, within) }], [], ...timeline, ...tokens, [], ...changes]
  const path = cut(visible(view.path), columns, frame.isUnicode)
  const head: readonly Line[] = [[{ text: path, tone: 'strong' }], [{ text: view.facts, tone: 'faint' }], []]
  const room = Math.max(FEWEST_CREDENTIALS, frame.lines - head.length - below.length)
  const lines = [...head, ...drawAges(view.credentials, { ...within, lines: room, nowMs: view.nowMs }), ...below]
  return lines.map((line) => cutLine(line, within))
}

function drawSummary({ before, name, after }: Summary, { columns, isUnicode }: Frame): string {
  const room = Math.max(SHORTEST_NAME, columns - widthOf(before + after))
  return `${before}${cut(visible(name), room, isUnicode)}${after}`
}

/** Draws a bar a credential, and how many there are more where not all fit. */
export function drawAges(
  credentials: readonly AgedCredential[],
  frame: Frame & { readonly nowMs: number },
): readonly Line[] {
  if (credentials.length === 0) return [[{ text: 'no credentials yet: mcpvault store NAME', tone: 'faint' }]]
  const isCut = credentials.length > frame.lines
  const shown = credentials.slice(0, isCut ? frame.lines - 1 : credentials.length)
  const rows = shown.map((credential) => ({
    name: visible(credential.name),
    age: ageText(credential),
    due: dueText(credential, frame.nowMs),
    credential,
  }))
  const widest = (key: 'name' | 'age' | 'due'): number => Math.max(...rows.map((row) => widthOf(row[key])))
  const [age, due] = [widest('age'), widest('due')]
  // Between the four columns there are two spaces each; the name gives way first, then the bar goes.
  const free = frame.columns - age - due - 6
  const name = Math.min(widest('name'), LONGEST_NAME, Math.max(SHORTEST_NAME, free - LONGEST_BAR))
  const bar = Math.min(LONGEST_BAR, free - name)
  const lines = rows.map((row): Line => {
    const tone = toneOf(row.credential)
    const spans: Span[] = [{ text: pad(cut(row.name, name, frame.isUnicode), name) }, { text: '  ' }]
    if (bar >= SHORTEST_BAR) spans.push(...drawBar(row.credential, bar, frame.isUnicode), { text: '  ' })
    spans.push(
      { text: row.age.padStart(age) },
      { text: '  ' },
      { text: row.due, tone: tone === 'good' ? undefined : tone },
    )
    return spans
  })
  const more = credentials.length - shown.length
  return more === 0 ? lines : [...lines, [{ text: `and ${more} more: mcpvault list`, tone: 'faint' }]]
}

/** Draws an age as a bar: full exactly when the credential is due. */
export function drawBar(credential: AgedCredential, width: number, isUnicode: boolean): readonly Span[] {
  const share = shareOf(credential) ?? 1
  const filled = credential.isDue ? width : Math.min(width - 1, Math.floor(share * width))
  const [ink, paper] = isUnicode ? ['█', '░'] : ['#', '.']
  return [
    { text: ink.repeat(filled), tone: toneOf(credential) },
    { text: paper.repeat(width - filled), tone: 'faint' },
  ]
}

function toneOf(credential: AgedCredential): 'good' | 'warn' | 'bad' {
  if (credential.isDue) return 'bad'
  return (shareOf(credential) ?? 1) >= WARN_SHARE ? 'warn' : 'good'
}

function ageText({ ageSeconds, maxAgeSeconds }: AgedCredential): string {
  return `${ageSeconds === undefined ? '?' : formatSpan(ageSeconds)} of ${formatDuration(maxAgeSeconds)}`
}

function dueText({ isDue, reason, dueAtMs }: AgedCredential, nowMs: number): string {
  if (!isDue) return `due in ${formatSpan(((dueAtMs ?? nowMs) - nowMs) / 1000)}`
  return reason === 'age' ? 'due' : `due (${reason})`
}

function drawTokens(tokens: View['tokens'], frame: Frame): readonly Line[] {
  const heading: Line = [{ text: 'Live tokens', tone: 'strong' }]
  if (typeof tokens === 'string') return [heading, [{ text: `  ${tokens}`, tone: 'faint' }]]
  if (tokens.length === 0) return [heading, [{ text: '  none', tone: 'faint' }]]
  const shown = tokens.slice(0, MOST_TOKENS)
  const names = shown.map(({ name }) => cut(visible(name), LONGEST_NAME, frame.isUnicode))
  const ends = shown.map(({ secondsLeft, callsLeft }) => {
    const time = secondsLeft === undefined ? 'no end' : `${formatSpan(secondsLeft)} left`
    return callsLeft === undefined ? time : `${time}, ${countOf(callsLeft, 'call')}`
  })
  const [name, end] = [Math.max(...names.map(widthOf)), Math.max(...ends.map(widthOf))]
  const lines = shown.map(({ tools }, index): Line => {
    const room = Math.max(1, frame.columns - name - end - 6)
    const tool = cutEnd(visible(tools.join(', ')), room, frame.isUnicode)
    return [{ text: `  ${pad(names[index] ?? '', name)}  ${pad(ends[index] ?? '', end)}  ${tool}` }]
  })
  const more = tokens.length - shown.length
  return more === 0
    ? [heading, ...lines]
    : [heading, ...lines, [{ text: `  and ${more} more: mcpvault token list`, tone: 'faint' }]]
}

function drawChanges(changes: View['changes'], frame: Frame): readonly Line[] {
  const heading: Line = [{ text: 'Last changes', tone: 'strong' }]
  if (typeof changes === 'string') return [heading, [{ text: `  ${changes}`, tone: 'bad' }]]
  if (changes.length === 0) return [heading, [{ text: '  none', tone: 'faint' }]]
  const when = Math.max(...changes.map((change) => widthOf(change.when)))
  const action = Math.max(...changes.map((change) => widthOf(visible(change.action))))
  return [
    heading,
    ...changes.map((change): Line => {
      const version = change.version === undefined ? '' : ` (version ${change.version})`
      const by = change.by === undefined ? '' : `, ${visible(change.by)}`
      const room = Math.max(SHORTEST_NAME, frame.columns - when - action - widthOf(version + by) - 6)
      const name = cut(visible(change.name), room, frame.isUnicode)
      return [
        { text: `  ${change.when.padStart(when)}  `, tone: 'faint' },
        { text: `${pad(visible(change.action), action)}  ${name}${version}` },
        { text: by, tone: 'faint' },
      ]
    }),
  ]
}

/** Cuts a line to the frame, from its end. */
export function cutLine(line: Line, { columns, isUnicode }: Pick<Frame, 'columns' | 'isUnicode'>): Line {
  let left = columns
  const spans: Span[] = []
  for (const span of line) {
    const width = widthOf(span.text)
    spans.push(width <= left ? span : { ...span, text: cutEnd(span.text, left, isUnicode) })
    left -= width
    if (left < 0) break
  }
  return spans
}

/** Cuts a text in its middle, since the names of one kind differ at their ends. */
export function cut(text: string, width: number, isUnicode: boolean): string {
  if (widthOf(text) <= width) return text
  const mark = markOf(isUnicode)
  const room = width - mark.length
  if (room < 2) return cutEnd(text, width, isUnicode)
  const characters = [...text]
  const tail = takeWidth(characters.toReversed(), Math.floor(room / 2)).reverse()
  return takeWidth(characters, room - widthOf(tail.join(''))).join('') + mark + tail.join('')
}

function cutEnd(text: string, width: number, isUnicode: boolean): string {
  if (widthOf(text) <= width) return text
  const mark = markOf(isUnicode).slice(0, Math.max(0, width))
  return takeWidth([...text], width - mark.length).join('') + mark
}

function markOf(isUnicode: boolean): string {
  return isUnicode ? '…' : '..'
}

function takeWidth(characters: readonly string[], width: number): string[] {
  let left = width
  const taken: string[] = []
  for (const character of characters) {
    left -= widthOf(character)
    if (left < 0) break
    taken.push(character)
  }
  return taken
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}

/** Counts the columns of a text: two for East Asian wide characters and emoji, none for marks that sit on others. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length
  let width = 0
  for (const character of text) {
    if (/\p{M}|\p{Cf}/u.test(character)) continue
    width += isWide(character) ? 2 : 1
  }
  return width
}

/** Unicode Standard Annex 11, the ranges that are wide as a whole. */
function isWide(character: string): boolean {
  return /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u.test(
    character,
  )
}

/** Breaks a text into lines at spaces; a word that is wider than a line stands alone, whole, so that it can be copied. */
export function wrapText(text: string, columns: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`
    if (line !== '' && widthOf(longer) > columns) {
      lines.push(line)
      line = word
    } else line = longer
  }
  return [...lines, line]
}

/** Tells whether a terminal shows more than ASCII: by its locale, as POSIX has it, and not where it is a dumb one. */
export function showsUnicode(env: Readonly<Record<string, string | undefined>>): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || ''
  return env.TERM !== 'dumb' && /utf-?8/i.test(locale)
}
