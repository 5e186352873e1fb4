import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import type { DiskTask } from './children/disk-child.js'
import { needProgram, SmallDisk, tryRooms } from './full-disk.js'
import { sayDone, SWEPT, type SweptCommand } from './swept-commands.js'

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

/** Values of a page each, so that most files are longer than a page. */
const LARGE = ['store big --generate --length 4096', 'store bigger --generate --length 4096']
const COMMANDS = SWEPT.filter(({ line, before }) => /^(store|rotate|token create)/.test(line) && before.length > 3)

type Rooms = (longest: number) => readonly DiskTask['free'][]

async function expectRooms(command: SweptCommand, rooms: Rooms, mount?: string): Promise<void> {
  const disk = new SmallDisk(child, program, mount)
  try {
    const report = await tryRooms(disk, program, { command, rooms })
    const [kind] = Object.keys(rooms(1)[0] ?? {})
    sayDone(`full disk, ${kind}, ${command.format} ${command.line}`, { ...report, damage: report.damage.length })
    expect(report.damage).toEqual([])
    expect(report.outcomes['IO old']).toBeGreaterThan(0)
    expect(report.outcomes['done new']).toBeGreaterThan(1)
  } finally {
    await disk.remove()
  }
}

describe('on a disk that is full', () => {
  test.for(COMMANDS)('at every page, $format $line changes nothing or all', async (command, context) => {
    needProgram(context, 'unshare', '-m', 'true')
    const rooms: Rooms = () => Array.from({ length: 20 }, (_, pages) => ({ pages }))
    await expectRooms({ ...command, before: [...command.before, ...LARGE] }, rooms, 'size=512k')
  })

  test.for(COMMANDS)('at every inode, $format $line changes nothing or all', async (command, context) => {
    needProgram(context, 'unshare', '-m', 'true')
    const rooms: Rooms = () => Array.from({ length: 12 }, (_, inodes) => ({ inodes }))
    await expectRooms(command, rooms, 'size=512k,nr_inodes=64')
  })

  test.for(COMMANDS)('at every byte, $format $line changes nothing or all', async (command, context) => {
    needProgram(context, 'prlimit', '--version')
    const rooms: Rooms = (longest) => Array.from({ length: longest + 8 }, (_, bytes) => ({ bytes }))
    await expectRooms(command, rooms)
  })
})
