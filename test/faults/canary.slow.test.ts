import { afterAll, beforeAll, test } from 'vitest'
import { type BuiltCopy, copyBuilt } from '../support/built.js'
import { expectNoSecretSeen } from './canary.js'

let program: BuiltCopy

beforeAll(() => {
  program = copyBuilt()
})
afterAll(() => program.remove())

test('no secret of a tutorial vault is seen in a stream, a file, a process or its children', async () => {
  await expectNoSecretSeen(program, 'tutorial', 'init --format fernet --key-file KEY')
})
