import { afterAll, beforeAll, describe, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { type Call, needStrace } from '../support/strace.js'
import { expectErrorsHarmless } from './error-sweep.js'
import { SWEPT } from './swept-commands.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

const syncs = (calls: readonly Call[]): readonly Call[] => calls.filter(({ name }) => /^f(data)?sync$/.test(name))

describe('each fsync fails once (each system call: npm run test:sweeps)', () => {
  test.for(SWEPT.filter(({ isLikeAnother }) => !isLikeAnother))(
    '$format: $line ($before.length before)',
    async (command, context) => {
      needStrace(context)
      await expectErrorsHarmless(program, command, { choose: syncs })
    },
  )
})
