/** Worlds with a vault in them, and what commands answer in them. */
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect } from 'vitest'
import { TestWorld, type TestWorldOptions } from '../../support/context.js'

/** A key of these tests, spelled as Fernet has it. */
export const KEY = `${Buffer.alloc(32, 'key one').toString('base64url')}=`
/** Another key, in the same spelling. */
export const OTHER_KEY = `${Buffer.alloc(32, 'key two').toString('base64url')}=`
/** The first key in the spelling of the JavaScript tutorial. */
export const HEX_KEY = Buffer.alloc(32, 'key one').toString('hex')
/** The vault's name in the working directory. */
export const VAULT = 'mcp_credentials.enc'
export const DAY_MS = 86_400_000

/** What `expected.json` of a fixture says. */
export interface Fixture {
  readonly MCP_ENCRYPTION_KEY: string
  readonly values: Readonly<Record<string, string>>
}

/** Makes a world with an empty native vault in its working directory, and the key in its environment. */
export async function nativeWorld(options: TestWorldOptions = {}): Promise<TestWorld> {
  const world = new TestWorld({ ...options, env: { MCP_ENCRYPTION_KEY: KEY, ...options.env } })
  await succeed(world, 'init', '--vault', VAULT)
  return world
}

/** Makes a world with a vault that a tutorial program has made. */
export function tutorialWorld(name: 'python' | 'node', options: TestWorldOptions = {}): TestWorld & Fixture {
  const directory = new URL(`../../fixtures/tutorial-${name}/`, import.meta.url)
  const fixture = JSON.parse(readFileSync(new URL('expected.json', directory), 'utf8')) as Fixture
  const world = new TestWorld({
    nowMs: Date.UTC(2026, 10, 24, 12),
    ...options,
    env: { MCP_ENCRYPTION_KEY: fixture.MCP_ENCRYPTION_KEY, ...options.env },
  })
  for (const file of [VAULT, 'rotation_log.json']) {
    const source = new URL(file, directory)
    if (existsSync(source)) copyFileSync(source, join(world.directory, file))
  }
  return Object.assign(world, fixture)
}

/** Opens the vault that {@link putPassphraseVault} lays down. */
export const PASSPHRASE = 'correct horse'

/** Lays down an empty vault under a passphrase, whose slot costs a quarter of what `init` gives it. */
export function putPassphraseVault(world: TestWorld, name = VAULT): void {
  const path = join(world.directory, name)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  copyFileSync(new URL('../../fixtures/native/quick-passphrase.enc', import.meta.url), path)
  chmodSync(path, 0o600)
}

/** Makes a world with an empty vault in a tutorial format. */
export async function emptyTutorialWorld(options: TestWorldOptions = {}): Promise<TestWorld> {
  const world = new TestWorld({ ...options, env: { MCP_ENCRYPTION_KEY: KEY, ...options.env } })
  await succeed(world, 'init', '--vault', VAULT, '--format', 'fernet')
  return world
}

/** Runs a command that must succeed, and gives its stdout. */
export async function succeed(world: TestWorld, ...argv: readonly string[]): Promise<string> {
  const status = await world.run(...argv)
  if (status !== 0) throw new Error(`mcpvault ${argv.join(' ')} gave ${status}: ${world.stderr}`)
  return world.stdout
}

/** Runs a command with `--json` that must succeed, and gives the one value that it prints. */
export async function json<T = Record<string, unknown>>(world: TestWorld, ...argv: readonly string[]): Promise<T> {
  return JSON.parse(await succeed(world, ...argv, '--json')) as T
}

/** Gives a command a value on stdin, as a pipe does. */
export async function withStdin(world: TestWorld, input: string | Buffer, ...argv: readonly string[]): Promise<string> {
  world.stdin = input
  try {
    return await succeed(world, ...argv)
  } finally {
    world.stdin = undefined
  }
}

/** Stores a credential. */
export async function store(world: TestWorld, name: string, value: string | Buffer): Promise<void> {
  await withStdin(world, value, 'store', name, '--stdin', '--raw')
}

/** Rotates a credential. */
export async function rotate(world: TestWorld, name: string, value: string | Buffer): Promise<void> {
  await withStdin(world, value, 'rotate', name, '--stdin', '--raw')
}

/** A failed command. */
export interface Failure {
  readonly status: number
  readonly code: string
  readonly message: string
  readonly hints: readonly string[]
}

/** Runs a command that must fail, and gives what it says with `--json`; stdout must stay empty. */
export async function fail(world: TestWorld, ...argv: readonly string[]): Promise<Failure> {
  const status = await world.run('--json', ...argv)
  expect(world.stdout, `stdout of mcpvault ${argv.join(' ')}`).toBe('')
  const line = world.stderr.trimEnd().split('\n').at(-1) ?? ''
  const { error } = JSON.parse(line || '{}') as { readonly error?: Omit<Failure, 'status'> }
  if (status === 0 || error === undefined) throw new Error(`mcpvault ${argv.join(' ')} gave ${status}: ${line}`)
  return { status, ...error }
}

/** Writes a file of the working directory, private unless told, and gives its path. */
export function write(world: TestWorld, name: string, content: string | Buffer, mode = 0o600): string {
  const path = join(world.directory, name)
  writeFileSync(path, content, { mode })
  return path
}

/** Reads a file of the working directory. */
export function read(world: TestWorld, name: string): string {
  return readFileSync(join(world.directory, name), 'utf8')
}

/** Gives the names of every member, at any depth, of what `--json` printed. */
export function memberNames(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(memberNames)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => [name, ...memberNames(member)])
}
