import { afterAll, beforeAll, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { everyByte, expectRoomsHarmless, needProgram } from './full-disk.js'
import { SWEPT } from './swept-commands.js'

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

test.for(SWEPT.filter(({ line, before }) => /^(store|rotate|token create)/.test(line) && before.length > 3))(
  'on a disk that is full at every byte, $format $line changes nothing or all',
  async (command, context) => {
    needProgram(context, 'prlimit', '--version')
    await expectRoomsHarmless({ child, program }, command, everyByte(1))
  },
)
