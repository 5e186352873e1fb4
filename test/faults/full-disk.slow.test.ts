import { afterAll, beforeAll, describe, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { everyByte, expectRoomsHarmless, needProgram, type Rooms } from './full-disk.js'
import { SWEPT, type SweptCommand } from './swept-commands.js'

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

/** Every file that mcpvault writes is written by one of these; the others at every byte: npm run test:sweeps. */
const isWhole = ({ format, line, before }: SweptCommand): boolean =>
  line.startsWith(format === 'native' ? 'rotate' : 'store') ||
  (format === 'native' && before.length === 5 && line.startsWith('token'))

/** Values of a page each, so that most files are longer than a page. */
const LARGE = ['store big --generate --length 4096', 'store bigger --generate --length 4096']
const COMMANDS = SWEPT.filter(({ line, before }) => /^(store|rotate|token create)/.test(line) && before.length > 3)

const expectRooms = (command: SweptCommand, rooms: Rooms, mount?: string): Promise<void> =>
  expectRoomsHarmless({ child, program, mount }, command, rooms)

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

  test.for(COMMANDS)('at every byte, or every 16th, $format $line changes nothing or all', async (command, context) => {
    needProgram(context, 'prlimit', '--version')
    await expectRooms(command, everyByte(isWhole(command) ? 1 : 16))
  })
})
