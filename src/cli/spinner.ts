import type { Context } from './context.js'

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const FRAME_MS = 100
const PATIENCE_MS = 1000

/** Waits for work; on a terminal that has waited for a second it shows a spinner on stderr until the work is done. */
export async function withSpinner<T>(
  { stderr, env }: Pick<Context, 'stderr' | 'env'>,
  { label, quiet }: { readonly label: string; readonly quiet: boolean },
  work: Promise<T>,
): Promise<T> {
  if (quiet || env.TERM === 'dumb' || !stderr.isTerminal) return work
  let frame = 0
  const draw = (): void => stderr.write(`\r${FRAMES[frame++ % FRAMES.length]} ${label}`)
  let timer = setTimeout(() => {
    draw()
    timer = setInterval(draw, FRAME_MS)
  }, PATIENCE_MS)
  try {
    return await work
  } finally {
    clearInterval(timer)
    if (frame > 0) stderr.write('\r\u001b[K')
  }
}
