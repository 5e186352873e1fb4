import { cut, widthOf } from './picture.js'
import type { Cell, Table } from './printer.js'
import { visible } from './visible.js'

/** Between columns. */
const GAP = 2
/** What a column is never cut below: a terminal that is narrower breaks the line. */
const LEAST = 16

/** How a table is made to fit. */
export interface FitOptions {
  /** Of the terminal, in cells. */
  readonly columns: number
  readonly isUnicode: boolean
  /** Which columns may be cut, by their number from 0; the first of them first. */
  readonly order: readonly number[]
}

/** Cuts what a terminal shows of some columns, so that lines fit its width; what goes into a pipe stays whole. */
export function fitTable(table: Table, { columns, isUnicode, order }: FitOptions): Table {
  const { headers, rows } = table
  const widths = headers.map((header, index) =>
    Math.max(widthOf(header), ...rows.map((row) => widthOf(shownText(row[index])))),
  )
  let over = widths.reduce((sum, width) => sum + width, GAP * (headers.length - 1)) - columns
  for (const index of order) {
    const width = widths[index] ?? 0
    const room = Math.min(width, Math.max(LEAST, width - Math.max(0, over)))
    widths[index] = room
    over -= width - room
  }
  const cells = (row: readonly Cell[]): readonly Cell[] =>
    row.map((cell, index) => (order.includes(index) ? cutCell(cell, widths[index] ?? LEAST, isUnicode) : cell))
  return { ...table, rows: rows.map(cells) }
}

function cutCell(cell: Cell, room: number, isUnicode: boolean): Cell {
  const text = shownText(cell)
  if (widthOf(text) <= room) return cell
  return { ...(typeof cell === 'string' ? { plain: cell } : cell), shown: cut(text, room, isUnicode) }
}

function shownText(cell: Cell = ''): string {
  return visible(typeof cell === 'string' ? cell : (cell.shown ?? cell.plain))
}
