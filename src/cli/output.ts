/**
 * The door to chalk and cli-table3, for terminals only; loaded when one is there.
 *
 * @module
 */

import { Chalk, type ChalkInstance } from 'chalk'
import CliTable from 'cli-table3'
import type { Cell, Table, Tone } from './printer.js'
import { visible } from './visible.js'

type ColorLevel = 0 | 1 | 2 | 3

/** Draws a table for a person: upper-case headers, columns apart by two spaces, control characters made visible. */
export function drawTable({ headers, rows }: Table, level: ColorLevel): string {
  const chalk = new Chalk({ level })
  const table = new CliTable({
    chars: NO_BORDERS,
    // cli-table3 colours by its own judgement, also in a pipe; cells come coloured instead.
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  })
  table.push(headers.map((header) => chalk.bold(header.toUpperCase())))
  for (const row of rows) table.push(row.map((cell) => drawCell(cell, chalk)))
  const lines = table.toString().split('\n')
  return lines.map((line) => `${line.trimEnd()}\n`).join('')
}

/** Colours a text that is safe already. */
export function paint(text: string, tone: Tone, level: ColorLevel): string {
  return toneOf(tone, new Chalk({ level }))(text)
}

function drawCell(cell: Cell, chalk: ChalkInstance): string {
  if (typeof cell === 'string') return visible(cell)
  const text = visible(cell.shown ?? cell.plain)
  return cell.tone ? toneOf(cell.tone, chalk)(text) : text
}

function toneOf(tone: Tone, chalk: ChalkInstance): (text: string) => string {
  if (tone === 'good') return chalk.green
  if (tone === 'warn') return chalk.yellow
  if (tone === 'strong') return chalk.bold
  return tone === 'bad' ? chalk.red : chalk.dim
}

const NO_BORDERS = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
} as const
