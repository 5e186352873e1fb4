import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkEvery, formatCron, formatService, formatTimer, type TimedCommand } from '../../src/cli/schedule-text.js'
import { temporaryDirectory } from '../support/directory.js'
import { needProgram } from '../support/need.js'

const SPANS = ['1m', '5m', '30m', '1h', '2h', '12h', '1d', '7d'] as const
const SECONDS = { m: 60, h: 3600, d: 86_400 } as const
const secondsOf = (span: string): number => Number(span.slice(0, -1)) * SECONDS[span.at(-1) as keyof typeof SECONDS]
const rhythm = (everySeconds: number) => ({ everySeconds, minute: 37, hour: 23 })

/** A command whose every word is as odd as a path may be. */
function oddCommand(oddity = `o d%d'$HOME"`): TimedCommand & { readonly seen: () => readonly string[] } {
  const directory = join(temporaryDirectory(), oddity)
  mkdirSync(directory)
  const [program, out] = [join(directory, 'no%de'), join(directory, 'seen')]
  writeFileSync(program, `#!/bin/sh\n{ printf '%s\\n' "$ODD" "$@"; ulimit -c; } > '${out.replaceAll("'", `'\\''`)}'\n`)
  chmodSync(program, 0o755)
  return {
    unit: 'mcpvault-rotate',
    summary: 'rotates what is due',
    argv: [program, join(directory, 'm$v.js'), 'rotate', '%h', '$$', '$' + '{PATH}', '~', '*', ''],
    environment: { ODD: "a b%c$d'e" },
    seen: () => readFileSync(out, 'utf8').split('\n').slice(0, -1),
  }
}

/** Does to a line what crontab(5) says that cron does: a bare percent sign ends the command, `\%` is one. */
function asCronRuns(line: string): string {
  const command = line.split(' ').slice(5).join(' ')
  return (/^(?:\\%|[^%])*/.exec(command)?.[0] ?? '').replaceAll('\\%', '%')
}

describe('a crontab line', () => {
  it('runs the very words, without core dumps, when a shell gets what cron makes of it', () => {
    const command = oddCommand()
    const [comment = '', line = ''] = formatCron(command, rhythm(3600)).split('\n')
    expect(comment).toBe('# mcpvault: rotates what is due, every 1h')
    const run = spawnSync('sh', ['-c', asCronRuns(line)], { env: { PATH: '/usr/bin:/bin' }, encoding: 'utf8' })
    expect([run.stderr, run.status]).toEqual(['', 0])
    expect(command.seen()).toEqual([command.environment.ODD, ...command.argv.slice(1), '0'])
  })

  it.each([
    ['1m', '* * * * *'],
    ['5m', '2-59/5 * * * *'],
    ['1h', '37 * * * *'],
    ['2h', '37 1-23/2 * * *'],
    ['1d', '37 23 * * *'],
    ['7d', '37 23 * * 1'],
  ])('says every %s', (span, fields) => {
    const line = formatCron(oddCommand(), rhythm(secondsOf(span))).split('\n')[1]
    expect(line?.startsWith(`${fields} ulimit`)).toBe(true)
  })

  it.each(['a\\b', 'a\nb', 'a\tb'])('is refused for the path %j, which no crontab holds', (oddity) => {
    expect(() => formatCron({ ...oddCommand('x'), argv: [oddity] }, rhythm(3600))).toThrow('a backslash or a control')
  })

  it("is as long as Debian's crontab takes it, and refused when it is longer", (context) => {
    needProgram(context, 'crontab', 'cron')
    const lineOf = (length: number): string =>
      formatCron({ ...oddCommand('x'), environment: {}, argv: ['/bin/true', 'y'.repeat(length)] }, rhythm(3600))
    const rest = (lineOf(1).split('\n')[1] ?? '').split(' ').slice(5).join(' ').length - 1
    const file = join(temporaryDirectory(), 'crontab')
    writeFileSync(file, lineOf(998 - rest))
    expect(spawnSync('crontab', ['-n', file]).status).toBe(0)
    writeFileSync(file, lineOf(998 - rest).replace('yyy', 'yyyy'))
    expect(spawnSync('crontab', ['-n', file]).status).not.toBe(0)
    expect(() => lineOf(999 - rest)).toThrow('at most 998 bytes')
  })

  it("is taken by Debian's crontab, in every rhythm", (context) => {
    needProgram(context, 'crontab', 'cron')
    const file = join(temporaryDirectory(), 'crontab')
    const check = (text: string) => {
      writeFileSync(file, text)
      return spawnSync('crontab', ['-n', file], { encoding: 'utf8' }).status
    }
    expect(check(SPANS.map((span) => formatCron(oddCommand(), rhythm(secondsOf(span)))).join(''))).toBe(0)
    expect(check('61 * * * * true\n'), 'a bad line').not.toBe(0)
  })
})

describe('systemd units', () => {
  const verify = (service: string, timer: string) => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'mcpvault-rotate.service'), service)
    writeFileSync(join(directory, 'mcpvault-rotate.timer'), timer)
    const units = ['mcpvault-rotate.service', 'mcpvault-rotate.timer'].map((name) => join(directory, name))
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', ...units], { encoding: 'utf8' })
    // Whatever else is wrong with the units of this machine is reported too.
    return { status, stderr: stderr.split('\n').filter((line) => line.includes('mcpvault')) }
  }

  it('are taken by systemd-analyze verify, odd paths and all', (context) => {
    needProgram(context, 'systemd-analyze', 'systemd')
    const command = oddCommand()
    expect(verify(formatService(command), formatTimer(command, rhythm(3600)))).toEqual({ status: 0, stderr: [] })
    const missing = { ...command, argv: ['/no d%r/node'] }
    expect(verify(formatService(missing), formatTimer(missing, rhythm(3600))).stderr.join(), 'a bad unit').toContain(
      'is not executable',
    )
  })

  it('name times that systemd knows, in every rhythm', (context) => {
    needProgram(context, 'systemd-analyze', 'systemd')
    const times = SPANS.map((span) => /OnCalendar=(.*)/.exec(formatTimer(oddCommand(), rhythm(secondsOf(span))))?.[1])
    const { status } = spawnSync('systemd-analyze', ['calendar', ...times.map(String)])
    expect(status).toBe(0)
    expect(spawnSync('systemd-analyze', ['calendar', '*-*-* *:00/61:00']).status, 'a bad time').not.toBe(0)
  })

  it('write percent and dollar signs twice, and quotes and backslashes behind a backslash', () => {
    const command = { ...oddCommand('x'), argv: ['/a b/no%de', 'c$d', '"e"\\', 'f'], environment: { A: 'b$c %' } }
    const lines = formatService(command).split('\n')
    expect(lines).toContain('ExecStart="/a b/no%%de" "c$$d" "\\"e\\"\\\\" f')
    expect(lines).toContain('Environment="A=b$c %%"')
    expect(lines).toContain('LimitCORE=0')
    expect(formatService({ ...command, argv: ['/a$b/node', 'c'] })).toContain('ExecStart=/usr/bin/env "/a$$b/node" c\n')
    expect(() => formatService({ ...command, argv: ['a\nb'] })).toThrow('a control character')
    expect(() => formatService({ ...command, argv: ['/$=/node'] })).toThrow('it cannot start')
  })

  it('spread their starts', () => {
    expect(formatTimer(oddCommand('x'), rhythm(3600))).toContain('\nRandomizedDelaySec=300\nPersistent=true\n')
  })
})

describe('a span between runs', () => {
  it('is one that a crontab can say', () => {
    for (const span of SPANS) expect(checkEvery(secondsOf(span))).toBe(secondsOf(span))
    for (const seconds of [0, 30, 90, 7 * 60, 5 * 3600, 90 * 60, 2 * 86_400]) {
      expect(() => checkEvery(seconds), String(seconds)).toThrow('cannot schedule something every')
    }
  })
})
