import { type IPty, spawn } from '@lydell/node-pty'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Bundle, bundleScript } from '../support/bundle.js'

let child: Bundle
beforeAll(async () => {
  child = await bundleScript(new URL('./system-child.ts', import.meta.url))
})
afterAll(() => child.remove())

/** A program on a pseudo-terminal, and all that the terminal has shown. */
class Terminal {
  readonly #pty: IPty
  #shown = ''
  #listeners: (() => void)[] = []

  constructor(script: string) {
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: '', TERM: 'xterm', NODE: process.execPath, CHILD: child.path }
    this.#pty = spawn('bash', ['--norc', '-c', script], { cols: 100, rows: 30, env })
    this.#pty.onData((data) => {
      this.#shown += data
      for (const listener of this.#listeners) listener()
    })
    onTestFinished(() => this.#pty.kill())
  }

  get shown(): string {
    return this.#shown
  }

  type(text: string): void {
    this.#pty.write(text)
  }

  async until(pattern: RegExp): Promise<RegExpExecArray> {
    return new Promise((resolve) => {
      const look = (): void => {
        const match = pattern.exec(this.#shown)
        if (!match) return
        this.#listeners = this.#listeners.filter((listener) => listener !== look)
        resolve(match)
      }
      this.#listeners.push(look)
      look()
    })
  }
}

/** Runs the child, then says its exit status and the terminal's settings. */
const SCRIPT = '"$NODE" "$CHILD" MODE; echo "status=$?;"; stty -a; echo end'

describe('a hidden question', () => {
  it('shows nothing of the answer', async () => {
    const terminal = new Terminal(SCRIPT.replace('MODE', 'hidden "value of x:"'))
    await terminal.until(/value of x:/)
    terminal.type('hun')
    terminal.type('ter2\x02\r')
    await terminal.until(/end\r\n/)
    expect(terminal.shown).toContain(`answer=${Buffer.from('hunter2').toString('hex')}`)
    expect(terminal.shown).toMatch(/status=0;/)
    expect(terminal.shown).not.toMatch(/h?u?n?ter2|hunt/)
  })

  it('shows control characters of the question as escapes', async () => {
    const terminal = new Terminal(SCRIPT.replace('MODE', 'hidden "$(printf \'a\\033[31mb\')"'))
    await terminal.until(/a\\x1b\[31mb/)
    terminal.type('x\r')
    await terminal.until(/end\r\n/)
  })

  it('is cancelled by Ctrl-C with 130, and the echo is back', async () => {
    const terminal = new Terminal(SCRIPT.replace('MODE', 'hidden "value:"'))
    await terminal.until(/value:/)
    terminal.type('secret\x03')
    await terminal.until(/end\r\n/)
    expect(terminal.shown).toContain('CANCELLED: cancelled')
    expect(terminal.shown).toContain('status=130;')
    expect(terminal.shown).toMatch(/\secho\s/)
    expect(terminal.shown).toMatch(/\sicanon\s/)
  })

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGQUIT', 131],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    it(`is ended by ${signal} with ${status}, and the echo is back`, async () => {
      const terminal = new Terminal(SCRIPT.replace('MODE', 'hidden "value:"'))
      const pid = Number((await terminal.until(/pid=(\d+);/))[1])
      await terminal.until(/value:/)
      process.kill(pid, signal)
      await terminal.until(/end\r\n/)
      expect(terminal.shown).toContain(`status=${status};`)
      expect(terminal.shown).toMatch(/\secho\s/)
      expect(terminal.shown).toMatch(/\sicanon\s/)
    })
  }

  it('leaves a terminal without echo when it is killed: the checks above can fail', async () => {
    const terminal = new Terminal(SCRIPT.replace('MODE', 'hidden "value:"'))
    const pid = Number((await terminal.until(/pid=(\d+);/))[1])
    await terminal.until(/value:/)
    process.kill(pid, 'SIGKILL')
    await terminal.until(/end/)
    expect(terminal.shown).toMatch(/\s-echo\s/)
  })

  it('works with stdout in a pipe, since it is drawn on stderr', async () => {
    const terminal = new Terminal('"$NODE" "$CHILD" hidden "value:" | cat > /dev/null; echo end')
    await terminal.until(/value:/)
    terminal.type('x\r')
    await terminal.until(/end\r\n/)
  })
})

describe('a yes-or-no question', () => {
  for (const [typed, answer] of [
    ['y\r', 'true'],
    ['\r', 'false'],
    ['n\r', 'false'],
  ] as const) {
    it(`takes ${JSON.stringify(typed)} for ${answer}`, async () => {
      const terminal = new Terminal(SCRIPT.replace('MODE', 'confirm "remove?"'))
      await terminal.until(/remove\?/)
      terminal.type(typed)
      await terminal.until(/end\r\n/)
      expect(terminal.shown).toContain(`answer=${answer}`)
    })
  }
})
