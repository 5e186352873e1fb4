import { describe, expect, it } from 'vitest'
import { createProgress } from '../../src/cli/progress.js'

function draw(options: { readonly isTerminal?: boolean; readonly quiet?: boolean; readonly term?: string } = {}) {
  let atMs = 0
  const written: string[] = []
  const stderr = {
    isTerminal: options.isTerminal ?? true,
    columns: 80,
    write: (text: string | Buffer) => void written.push(text.toString()),
  }
  const progress = createProgress(
    { stderr, env: { TERM: options.term ?? 'xterm' } },
    { label: 'importing', quiet: options.quiet ?? false, now: () => atMs },
  )
  return { written, progress, wait: (ms: number) => (atMs += ms) }
}

describe('a progress bar', () => {
  it('comes after a second, moves ten times a second at most, and leaves nothing', () => {
    const { written, progress, wait } = draw()
    for (let done = 0; done < 200; done++) {
      progress.show(done, 200)
      wait(10)
    }
    progress.end()
    expect(written).toHaveLength(11)
    expect(written[0]).toBe(`\rimporting ${'█'.repeat(15)}${'░'.repeat(15)} 50 %`)
    expect(written.at(-1)).toBe('\r\u001b[K')
    progress.end()
    expect(written).toHaveLength(11)
  })

  it('never comes for quick work, in a pipe, on a dumb terminal or when it should be quiet', () => {
    const quick = draw()
    quick.progress.show(1, 2)
    quick.progress.end()
    expect(quick.written).toEqual([])
    for (const options of [{ isTerminal: false }, { quiet: true }, { term: 'dumb' }]) {
      const { written, progress, wait } = draw(options)
      wait(5000)
      progress.show(1, 2)
      progress.end()
      expect(written).toEqual([])
    }
  })
})
