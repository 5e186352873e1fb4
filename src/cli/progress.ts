import type { Context } from './context.js'

const PATIENCE_MS = 1000
const REDRAW_MS = 100
const WIDTH = 30

/** A bar that work which never gives up the thread draws itself. */
export interface Progress {
  /** Called often; draws seldom. */
  show(done: number, total: number): void
  /** Takes the bar away. */
  end(): void
}

/** Makes a progress bar on stderr: on a terminal, once the work has taken a second. */
export function createProgress(
  { stderr, env }: Pick<Context, 'stderr' | 'env'>,
  { label, quiet, now = () => performance.now() }: ProgressOptions,
): Progress {
  const isSilent = quiet || env.TERM === 'dumb' || !stderr.isTerminal
  const beginMs = now()
  let drawnMs: number | undefined
  return {
    show(done, total) {
      if (isSilent) return
      const atMs = now()
      if (atMs - beginMs < PATIENCE_MS || (drawnMs !== undefined && atMs - drawnMs < REDRAW_MS)) return
      drawnMs = atMs
      const part = total === 0 ? 1 : done / total
      const bar = '█'.repeat(Math.round(part * WIDTH)).padEnd(WIDTH, '░')
      stderr.write(`\r${label} ${bar} ${Math.floor(part * 100)} %`)
    },
    end() {
      if (drawnMs !== undefined) stderr.write('\r\u001b[K')
      drawnMs = undefined
    },
  }
}

/** How a bar is drawn. */
export interface ProgressOptions {
  readonly label: string
  readonly quiet: boolean
  /** Milliseconds that only go forward. */
  readonly now?: () => number
}
