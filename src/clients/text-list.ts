import { applyEdits, type TextEdit, type TextSpan } from './config-text.js'

/** Items between brackets, separated by commas: an object, an array or an inline table as it stands in a text. */
export interface TextList {
  readonly text: string
  /** Behind the opening bracket. */
  readonly open: number
  /** Of the closing bracket. */
  readonly close: number
  readonly items: readonly TextSpan[]
  /** Finds the comments between items. */
  readonly comments: RegExp
  /** The text between the commas of a list with fewer than two items. */
  readonly space: string
}

/** Adds an item before the one with that number, spaced as its neighbours are. */
export function insertItem(list: TextList, index: number, item: string): string {
  const { text, open, close, items } = list
  const next = items[index]
  if (next !== undefined) {
    return applyEdits(text, [{ start: next.start, end: next.start, text: `${item},${separatorOf(list)}` }])
  }
  const last = items.at(-1)
  if (last === undefined) return applyEdits(text, [{ start: open, end: open, text: item }])
  const separator = separatorOf(list)
  const comma = findComma(list, last.end, close)
  const edits: TextEdit[] = comma === undefined ? [{ start: last.end, end: last.end, text: ',' }] : []
  const behind = (comma ?? last.end - 1) + 1
  // A comment at the end of the last item's line is about that item.
  const at = separator.includes('\n') ? endOfComments(list, behind, close) : behind
  edits.push({ start: at, end: at, text: `${separator}${item}${comma === undefined ? '' : ','}` })
  return applyEdits(text, edits)
}

/** Takes an item out, with the one comma and the white space that belong to it; comments stay. */
export function removeItem(list: TextList, index: number): string {
  const { text, open, close, items } = list
  const item = items[index]
  if (item === undefined) return text
  const before = items[index - 1]
  const after = items[index + 1]
  const comma = findComma(list, item.end, after?.start ?? close)
  if (comma === undefined && before !== undefined) {
    const previous = findComma(list, before.end, item.start) ?? before.end
    const start = item.start - trailingSpace(text.slice(previous + 1, item.start)).length
    return applyEdits(text, [
      { start: previous, end: previous + 1, text: '' },
      { start, end: item.end, text: '' },
    ])
  }
  const end = comma === undefined ? item.end : comma + 1
  const isAdjacent = comma === undefined || text.slice(item.end, comma).trim() === ''
  if (!isAdjacent) {
    return applyEdits(text, [
      { ...item, text: '' },
      { start: comma, end: comma + 1, text: '' },
    ])
  }
  return applyEdits(text, [{ ...withItsLine(text, { start: item.start, end }, open), text: '' }])
}

/** An item that is alone on its lines takes them with it. */
function withItsLine(text: string, { start, end }: TextSpan, open: number): TextSpan {
  const lead = /(?:^|\n)[ \t]*$/.exec(text.slice(open, start))?.[0]
  const rest = /^[ \t]*(\r?\n)/.exec(text.slice(end))
  if (lead !== undefined && rest !== null)
    return { start: start - lead.replace('\n', '').length, end: end + rest[0].length }
  const spaces = /^[ \t]*/.exec(text.slice(end))?.[0].length ?? 0
  return { start, end: end + spaces }
}

function separatorOf({ text, open, items, space }: TextList): string {
  const [first, second] = items
  if (second !== undefined) return trailingSpace(text.slice(open, second.start))
  const lead = first === undefined ? '' : trailingSpace(text.slice(open, first.start))
  return lead.includes('\n') ? lead : space
}

function trailingSpace(text: string): string {
  return /\s*$/.exec(text)?.[0] ?? ''
}

function findComma({ text, comments }: TextList, from: number, to: number): number | undefined {
  const gap = text.slice(from, to).replace(comments, (comment) => ' '.repeat(comment.length))
  const at = gap.indexOf(',')
  return at < 0 ? undefined : from + at
}

function endOfComments({ text, comments }: TextList, from: number, close: number): number {
  const feed = /\r?\n/.exec(text.slice(from, close))
  if (feed === null) return from
  const line = text.slice(from, from + feed.index)
  return line.replace(comments, '').trim() === '' ? from + feed.index : from
}
