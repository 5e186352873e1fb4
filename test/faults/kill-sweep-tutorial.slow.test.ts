import { afterAll, beforeAll, describe, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { expectKillsHarmless } from './kill-sweep.js'
import { SWEPT } from './swept-commands.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

const COMMANDS = SWEPT.filter(({ format, isLikeAnother }) => format === 'tutorial' && !isLikeAnother)

describe('a tutorial vault, killed before every system call that touches it', () => {
  test.for(COMMANDS)('$line ($before.length before)', async (command, context) => {
    needStrace(context)
    await expectKillsHarmless(program, command)
  })
})
