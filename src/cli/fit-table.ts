import { cut, widthOf } from './picture.js'
import type { Cell, Table } from './printer.js'
import { visible } from './visible.js'

/** Between columns. */
const GAP = 2
/** What a name is never cut below: a terminal that is narrower breaks the line. */
const LEAST = 16

/** Cuts what a terminal shows of the first column, so that lines fit its width; what goes into a pipe stays whole. */
export function fitFirstColumn(table: Table, columns: number, isUnicode: boolean): Table {
  const { headers, rows } = table
  const others = headers.slice(1).map((header, index) => {
    return GAP + Math.max(widthOf(header), ...rows.map((row) => widthOf(shownText(row[index + 1]))))
  })
  const room = Math.max(
    LEAST,
    others.reduce((left, width) => left - width, columns),
  )
  return { ...table, rows: rows.map(([first = '', ...rest]) => [cutCell(first, room, isUnicode), ...rest]) }
}

function cutCell(cell: Cell, room: number, isUnicode: boolean): Cell {
  const text = shownText(cell)
  if (widthOf(text) <= room) return cell
  return { ...(typeof cell === 'string' ? { plain: cell } : cell), shown: cut(text, room, isUnicode) }
}

function shownText(cell: Cell = ''): string {
  return visible(typeof cell === 'string' ? cell : (cell.shown ?? cell.plain))
}
