import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { needProgram, type RoomReport, SmallDisk, tryRooms } from './full-disk.js'
import { type SweptCommand, sweptCommand } from './swept-commands.js'

// Vaults are made by processes of the built program, on machines that do other things, too.
vi.setConfig({ testTimeout: 180_000 })

let program: BuiltCopy
let child: Bundle

beforeAll(async () => {
  program = copyBuilt()
  child = await bundleScript(new URL('./children/disk-child.ts', import.meta.url))
})
afterAll(() => {
  program.remove()
  child.remove()
})

/** Tries a limit on the length of files at every few bytes. */
async function tryLengths(command: SweptCommand, options: { readonly youngIn?: string } = {}): Promise<RoomReport> {
  const entry = options.youngIn === undefined ? program.entry : writeCareless(options.youngIn)
  const disk = new SmallDisk(child, { ...program, entry }, undefined)
  try {
    const rooms = (longest: number) =>
      Array.from({ length: 20 }, (_, step) => ({ bytes: Math.round((step * (longest + 8)) / 19) }))
    return await tryRooms(disk, program, { ...options, command, rooms })
  } finally {
    await disk.remove()
  }
}

/** Writes a program that brings the new files about over the old ones, as careless programs do; gives its path. */
function writeCareless(youngIn: string): string {
  const path = join(youngIn, 'careless.cjs')
  const script = `
    const { existsSync, readFileSync, writeFileSync } = require('node:fs')
    exports.systemContext = () => ({})
    exports.main = async (argv, { env, stderr }) => {
      try {
        for (const name of ['/mcp_credentials.enc', '/rotation_log.json', '/mcp_tokens.jsonl'])
          if (existsSync(${JSON.stringify(youngIn)} + name))
            writeFileSync(env.HOME + name, readFileSync(${JSON.stringify(youngIn)} + name))
        return 0
      } catch {
        stderr.write('{"error":{"code":"IO"}}')
        return 9
      }
    }`
  writeFileSync(path, script)
  return path
}

describe('on a disk that is full (every page, inode and byte: npm run test:slow)', () => {
  test.for([
    ['native', 'store'],
    ['tutorial', 'rotate'],
  ] as const)('a %s vault is old or new after %s, as it says', async ([format, line], context) => {
    needProgram(context, 'prlimit', '--version')
    const report = await tryLengths(sweptCommand(format, line))
    expect(report.damage).toEqual([])
    expect(report.outcomes['IO old']).toBeGreaterThan(3)
    expect(report.outcomes['done new']).toBeGreaterThan(0)
  })

  test('a native rotation that finds no room after its journal says what is live and the way out', async (context) => {
    needProgram(context, 'unshare', '-m', 'true')
    const rotate = sweptCommand('native', 'rotate')
    const before = [...rotate.before, 'store large --generate --length 4096']
    const command = { ...rotate, line: `${rotate.line} --verify command:["/bin/true"]`, before }
    const disk = new SmallDisk(child, program, 'size=512k')
    try {
      const rooms = () => [2, 3, 4, 5, 6].map((pages) => ({ pages }))
      const report = await tryRooms(disk, program, { command, rooms })
      expect(report.damage).toEqual([])
      expect(report.outcomes['IO old']).toBeGreaterThan(0)
    } finally {
      await disk.remove()
    }
  })

  test('(control) a program that writes in place is seen to leave damage', async (context) => {
    needProgram(context, 'prlimit', '--version')
    const youngIn = mkdtempSync(join(realpathSync(tmpdir()), 'mcpvault-young-'))
    try {
      const report = await tryLengths(sweptCommand('tutorial', 'rotate'), { youngIn })
      expect(report.outcomes['done new']).toBeGreaterThan(0)
      expect(report.damage.length).toBeGreaterThan(10)
      expect(report.damage.join()).toMatch(/mcpvault list gave 6/)
    } finally {
      rmSync(youngIn, { recursive: true, force: true })
    }
  })
})
