import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The rooms of src/, each with the rooms that it may look into. `.` holds the files that stand outside of any room. */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  cli: [
    'gateway',
    'doctor',
    'backup',
    'rotation',
    'exec',
    'scan',
    'search',
    'tokens',
    'clients',
    'redact',
    'vault',
    'log',
    'storage',
    'crypto',
  ],
  gateway: ['rotation', 'exec', 'search', 'tokens', 'clients', 'redact', 'vault', 'log', 'storage', 'crypto'],
  backup: ['rotation', 'tokens', 'vault', 'log', 'storage', 'crypto'],
  doctor: ['exec', 'rotation', 'tokens', 'vault', 'log', 'storage'],
  rotation: ['search', 'tokens', 'clients', 'redact', 'vault', 'log', 'storage', 'crypto'],
  exec: ['search', 'tokens', 'redact', 'vault', 'log', 'storage', 'crypto'],
  scan: ['redact', 'vault'],
  search: ['redact', 'vault', 'log', 'storage', 'crypto'],
  tokens: ['vault', 'log', 'storage', 'crypto'],
  clients: ['redact', 'vault', 'log', 'storage'],
  redact: [],
  vault: ['log', 'storage', 'crypto'],
  log: ['storage', 'crypto'],
  storage: [],
  crypto: [],
  '.': [],
}

/** The files that each package comes in through; a folder stands for what is in it. Types may be named anywhere in cli. */
const DOORS: Readonly<Record<string, readonly string[]>> = {
  commander: ['src/cli/program.ts'],
  '@inquirer/prompts': ['src/cli/prompt.ts'],
  chalk: ['src/cli/output.ts'],
  'cli-table3': ['src/cli/output.ts'],
  '@modelcontextprotocol/client': ['src/gateway/child-server.ts', 'src/gateway/merged-upstream.ts'],
  '@modelcontextprotocol/server': ['src/gateway/sdk-front.ts'],
  pino: ['src/gateway/log.ts'],
  undici: ['src/http.ts'],
  zod: ['src/gateway/config.ts'],
  'jsonc-parser': ['src/clients/jsonc.ts'],
  'toml-eslint-parser': ['src/clients/toml.ts'],
  'age-encryption': ['src/crypto/age.ts'],
}

/** Packages that may be missing: required where they are used, and named nowhere else. */
const OPTIONAL_DOORS: Readonly<Record<string, string>> = { '@napi-rs/keyring': 'src/cli/keychain.ts' }

/** What src/index.ts, the library's entry, may look into is decided by what it exports; it is nobody's room. */
const ENTRIES = ['src/index.ts']

interface Source {
  readonly path: string
  readonly text: string
  readonly imports: readonly Import[]
}

interface Import {
  readonly target: string
  readonly isTypeOnly: boolean
}

const sources = listSources()

function listSources(): readonly Source[] {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  return files
    .filter((name) => name.endsWith('.ts'))
    .map((name) => {
      const path = join('src', name)
      const text = readFileSync(join(root, path), 'utf8')
      return { path, text, imports: importsOf(text) }
    })
}

function importsOf(text: string): readonly Import[] {
  const still = [...text.matchAll(/^(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'|^import\s+'([^']+)'/gm)]
  const lazy = [...text.matchAll(/\bimport\(\s*'([^']+)'\s*\)/g)]
  return [
    ...still.map((match) => ({ target: match[2] ?? match[3] ?? '', isTypeOnly: match[1] !== undefined })),
    ...lazy.map((match) => ({ target: match[1] ?? '', isTypeOnly: false })),
  ]
}

function roomOf(path: string): string {
  const parts = path.split('/')
  return parts.length > 2 ? (parts[1] as string) : '.'
}

function resolveImport(from: string, target: string): string {
  return normalize(join(dirname(from), target)).replace(/\.js$/, '.ts')
}

function codeOf(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

describe('the architecture', () => {
  it('is looked at', () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.flatMap(({ imports }) => imports).length).toBeGreaterThan(sources.length)
  })

  it('has arrows that run from the outside in', () => {
    const seen = new Set<string>()
    for (const { path, imports } of sources) {
      for (const { target } of imports.filter((one) => one.target.startsWith('.') && !ENTRIES.includes(path))) {
        const [from, to] = [roomOf(path), roomOf(resolveImport(path, target))]
        if (from === to || to === '.') continue
        expect(ARROWS[from], `${path} → ${target}`).toContain(to)
        seen.add(`${from} → ${to}`)
      }
    }
    expect([...seen]).toEqual(expect.arrayContaining(['cli → vault', 'vault → crypto', 'vault → storage']))
  })

  it('has no test that is skipped without a word', () => {
    const tests = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' }).filter((path) =>
      /\.test\.ts$/.test(path),
    )
    expect(tests.length).toBeGreaterThan(100)
    const silent = /\b(?:it|test|describe)\.(?:skipIf|runIf|skip|todo)\b|\.skip\(\)/
    const loud = /announceMissing\(/
    const found = tests.filter((path) => {
      const text = readFileSync(join(root, 'test', path), 'utf8')
      return path !== 'architecture.test.ts' && silent.test(text) && !loud.test(text)
    })
    expect(found, 'need() of test/support says what was skipped and why').toEqual([])
  })

  it('knows every room', () => {
    for (const { path } of sources) expect(Object.keys(ARROWS), path).toContain(roomOf(path))
  })

  it('lets each package in through one door', () => {
    for (const [name, doors] of Object.entries(DOORS)) {
      const users = sources.filter(({ imports }) => imports.some((one) => one.target === name && !one.isTypeOnly))
      expect(
        users.map(({ path }) => path),
        name,
      ).toEqual(doors)
    }
  })

  it('knows no other package', () => {
    const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    type Packages = Readonly<Record<string, string>>
    const { dependencies, optionalDependencies } = manifest as Record<'dependencies' | 'optionalDependencies', Packages>
    expect(Object.keys(dependencies).sort()).toEqual(Object.keys(DOORS).sort())
    expect(Object.keys(optionalDependencies).sort()).toEqual(Object.keys(OPTIONAL_DOORS).sort())
    for (const { path, imports } of sources) {
      const others = imports.filter(({ target }) => !/^(\.|node:)/.test(target) && !(target in DOORS))
      expect(others, path).toEqual([])
    }
  })

  it('names an optional package in one file', () => {
    for (const [name, door] of Object.entries(OPTIONAL_DOORS)) {
      const users = sources.filter(({ text }) => codeOf(text).includes(`'${name}'`))
      expect(users.map(({ path }) => path)).toEqual([door])
    }
  })

  it('imports no package lazily', () => {
    for (const { path, text } of sources) {
      for (const [, target] of codeOf(text).matchAll(/\bimport\(\s*([^)]*)\)/g))
        expect(target, path).toMatch(/^'(\.|node:)/)
    }
  })

  it('touches the process in cli/system.ts, the library entry and bin/ only', () => {
    const users = sources.filter(({ text }) =>
      /(?<![\w.#$'"`-])process\.[a-zA-Z]|globalThis|'node:process'/.test(codeOf(text)),
    )
    expect(users.map(({ path }) => path).sort()).toEqual(['src/cli/system.ts', ...ENTRIES])
  })

  it('leaves commander and everything that draws out of the way of the hot commands', () => {
    const reached = reach('src/cli/entry.ts')
    for (const name of ['load', 'rotation-due', 'token-check']) {
      const path = `src/cli/commands/${name}.ts`
      if (sources.some((source) => source.path === path)) for (const file of reach(path)) reached.add(file)
    }
    expect(reached.size).toBeGreaterThan(5)
    for (const path of reached) expect(Object.values(DOORS).flat(), 'reached at start').not.toContain(path)
  })

  it('has no console, no default export and no file over 350 lines', () => {
    for (const { path, text } of sources) {
      expect(codeOf(text), path).not.toMatch(/\bconsole\.|^export default/m)
      expect(text.split('\n').length, path).toBeLessThanOrEqual(351)
    }
  })

  it('opens each folder with a description of it', () => {
    const rooms = new Set(sources.map(({ path }) => dirname(path)))
    rooms.delete(join('src', 'cli', 'commands'))
    for (const room of rooms) {
      const files = sources.filter(({ path }) => dirname(path) === room)
      expect(
        files.some(({ text }) => text.includes('@module')),
        relative(root, room),
      ).toBe(true)
    }
  })
})

/** The files that are loaded together with one, since it imports them at its top. */
function reach(path: string, reached: Set<string> = new Set()): Set<string> {
  const source = sources.find((one) => one.path === path)
  if (!source || reached.has(path)) return reached
  reached.add(path)
  const still = source.text.replace(/\bimport\([^)]*\)/g, '')
  for (const { target, isTypeOnly } of importsOf(still)) {
    if (target.startsWith('.') && !isTypeOnly) reach(resolveImport(path, target), reached)
  }
  return reached
}
