/**
 * Golden sessions: what a user types and sees, as text files that run through `main` in one temporary directory.
 *
 * A line begins with `$ ` for a command, `! ` for its stderr, `? ` for an exit status other than 0, `@ ` for a change of
 * the world, `# ` for a comment; every other line is stdout (a leading `\` keeps a line that looks like one of those).
 * A blank line ends a command's output; a last line that ends in `\c` has no newline.
 *
 * Commands: `$ mcpvault …` with quotes, `< FILE`, `<<WORD` and the lines up to WORD; `$ cat FILE`; `$ ls`.
 * Changes: `@ +31d`, `@ env NAME=VALUE`, `@ unset NAME`, `@ tty`, `@ no-tty`, `@ answer TEXT` (`yes` to confirm),
 * `@ write FILE <<WORD`, `@ remove FILE`, `@ chmod MODE FILE`.
 * Expected lines may hold `[..]` for anything and `<NAME>` for a word that is remembered and stands in later lines too.
 *
 * @module
 */
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseDuration } from '../../src/duration.js'
import { TestWorld } from './context.js'

interface Step {
  /** The lines that are kept as they stand: comments, changes, the command with its document. */
  readonly source: readonly string[]
  readonly line: string
  readonly document: string | undefined
  readonly expected: readonly string[]
}

/** A step whose output is not what the session says. */
export interface Difference {
  readonly command: string
  readonly expected: string
  readonly actual: string
}

/** What running a session showed. */
export interface SessionReport {
  readonly commands: number
  readonly differences: readonly Difference[]
  /** The session with the output that was seen; patterns that matched are kept. */
  readonly updated: string
}

/** Runs a session's text in a fresh world. */
export async function runSession(text: string): Promise<SessionReport> {
  const world = new TestWorld()
  const names = new Map<string, string>()
  const differences: Difference[] = []
  const output: string[] = []
  let commands = 0
  for (const step of parseSession(text)) {
    output.push(...step.source)
    if (step.line.startsWith('@ ')) change(world, expand(step.line.slice(2), names), step.document)
    if (!step.line.startsWith('$ ')) continue
    commands += 1
    const actual = await runStep(world, expand(step.line.slice(2), names), step.document)
    const lines = keepPatterns(step.expected, actual, names)
    output.push(...lines)
    const isSame = lines.join('\n') === step.expected.join('\n')
    if (!isSame) {
      differences.push({ command: step.line, expected: step.expected.join('\n'), actual: lines.join('\n') })
    }
  }
  return { commands, differences, updated: `${output.join('\n')}\n` }
}

function parseSession(text: string): readonly Step[] {
  const lines = text.trimEnd().split('\n')
  const steps: Step[] = []
  for (let index = 0; index < lines.length; ) {
    const line = lines[index++] as string
    const source = [line]
    const end = /<<(\w+)$/.exec(line)?.[1]
    let document: string | undefined
    if (end !== undefined && /^[$@] /.test(line)) {
      const stop = lines.indexOf(end, index)
      if (stop < 0) throw new Error(`no ${end} after: ${line}`)
      document = lines
        .slice(index, stop)
        .map((one) => `${one}\n`)
        .join('')
      source.push(...lines.slice(index, stop + 1))
      index = stop + 1
    }
    const expected: string[] = []
    if (line.startsWith('$ ')) {
      while (index < lines.length && lines[index] !== '' && !/^[$@#] /.test(lines[index] as string)) {
        expected.push(lines[index++] as string)
      }
    }
    steps.push({ source, line: line.replace(/ ?<<\w+$/, ''), document, expected })
  }
  return steps
}

async function runStep(world: TestWorld, line: string, document: string | undefined): Promise<readonly string[]> {
  const words = splitWords(line)
  const [program, ...rest] = words
  if (program === 'cat') return show(readFileSync(join(world.directory, rest[0] ?? ''), 'utf8'))
  if (program === 'ls') return readdirSync(world.directory).sort()
  if (program !== 'mcpvault') throw new Error(`a session runs mcpvault, cat and ls, not: ${line}`)
  const from = rest.indexOf('<')
  world.stdin = from < 0 ? document : readFileSync(join(world.directory, rest[from + 1] ?? ''))
  const status = await world.run(...(from < 0 ? rest : [...rest.slice(0, from), ...rest.slice(from + 2)]))
  const clean = (text: string): string => text.replaceAll(world.directory, '$DIR')
  return [
    ...show(clean(world.stdout)),
    ...show(clean(world.stderr)).map((one) => `! ${one}`),
    ...(status === 0 ? [] : [`? ${status}`]),
  ]
}

/** Cuts output into lines as a session has them. */
function show(text: string): readonly string[] {
  if (text === '') return []
  const lines = (text.endsWith('\n') ? text.slice(0, -1) : `${text}\\c`).split('\n')
  return lines.map((line) => (line === '' || /^[$!?@#\\]/.test(line) ? `\\${line}` : line))
}

/** Takes an expected line in the place of the actual one where it matches, so that its patterns survive an update. */
function keepPatterns(
  expected: readonly string[],
  actual: readonly string[],
  names: Map<string, string>,
): readonly string[] {
  return actual.map((line, index) => {
    const pattern = expected[index]
    return pattern !== undefined && matches(pattern, line, names) ? pattern : line
  })
}

function matches(pattern: string, line: string, names: Map<string, string>): boolean {
  const fresh: string[] = []
  const parts = pattern.split(/(\[\.\.\]|<[A-Z][A-Z0-9_]*>)/).map((part) => {
    if (part === '[..]') return '.*'
    const name = /^<(.+)>$/.exec(part)?.[1]
    if (name === undefined || !/^<[A-Z]/.test(part)) return quoteForPattern(part)
    const known = names.get(name)
    if (known !== undefined) return quoteForPattern(known)
    fresh.push(name)
    return '([^\\s"]+)'
  })
  const found = new RegExp(`^${parts.join('')}$`, 's').exec(line)
  for (const [index, name] of fresh.entries()) if (found) names.set(name, found[index + 1] as string)
  return found !== null
}

function quoteForPattern(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

function expand(line: string, names: ReadonlyMap<string, string>): string {
  return line.replace(/<([A-Z][A-Z0-9_]*)>/g, (whole, name: string) => names.get(name) ?? whole)
}

/** Cuts a command line at white space; single and double quotes hold words together. */
function splitWords(line: string): readonly string[] {
  const words = line.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? []
  return words.map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double?: string, single?: string) => double ?? single ?? ''),
  )
}

function change(world: TestWorld, line: string, document: string | undefined): void {
  const [verb = '', ...rest] = splitWords(line)
  const [first = '', second = ''] = rest
  const at = (path: string): string => join(world.directory, path)
  if (verb.startsWith('+')) world.nowMs += parseDuration(verb.slice(1)) * 1000
  else if (verb === 'env')
    world.env[first.split('=', 1)[0] as string] = first
      .slice(first.indexOf('=') + 1)
      .replaceAll('$DIR', world.directory)
  else if (verb === 'unset') delete world.env[first]
  else if (verb === 'tty' || verb === 'no-tty') world.setTerminal(verb === 'tty')
  else if (verb === 'answer') world.answers.push(first === 'yes' ? true : rest.join(' '))
  else if (verb === 'remove') rmSync(at(first), { recursive: true })
  else if (verb === 'chmod') chmodSync(at(second), Number.parseInt(first, 8))
  else if (verb === 'write') {
    mkdirSync(dirname(at(first)), { recursive: true })
    writeFileSync(at(first), document ?? '', { mode: 0o600 })
  } else throw new Error(`no such change: @ ${line}`)
}
