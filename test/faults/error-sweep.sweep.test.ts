import { afterAll, beforeAll, describe, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { needStrace } from '../support/strace.js'
import { expectErrorsHarmless } from './error-sweep.js'
import { SWEPT } from './swept-commands.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

describe('each system call that touches a vault fails once', () => {
  test.for(SWEPT)('$format: $line ($before.length before)', async (command, context) => {
    needStrace(context)
    await expectErrorsHarmless(program, command)
  })
})
