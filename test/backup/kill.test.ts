import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { FILES } from './backup-support.js'
import { expectDone, expectNoMix, newerSet, runRestore, SCENES, tryKill } from './kill-scenes.js'

const [, LOG, TOKENS] = FILES
/** The one in which all three files go back. */
const [, SAMPLE] = SCENES

describe('a restore that is killed (over whatever may lie there: npm run test:slow)', () => {
  let child: Bundle
  beforeAll(async () => {
    child = await bundleScript(new URL('./killed-restore.ts', import.meta.url))
  })
  afterAll(() => child.remove())

  it.each((SAMPLE?.[1] ?? []).filter((_, index) => index % 2 === 0))(
    'over an older set (%s) leaves one set or the other, or one that is refused, and can be done again',
    async (place) => {
      if (SAMPLE) await tryKill(child, SAMPLE[2], place)
    },
  )

  it('nowhere finishes: the harness kills only where it is told to', async () => {
    const scene = await newerSet()
    expect(await runRestore(child, scene, 'nowhere')).toBe('exit 0')
    expect(scene.made.world.text('a')).toBe('a1')
    await expectDone(scene)
  })

  it('would be seen to mix sets if it did: a log or token records of another day', async () => {
    const scene = await newerSet()
    writeFileSync(scene.made.path(LOG), '[\n]\n')
    expect(() => expectNoMix(scene)).toThrow()
    const tokens = await newerSet()
    tokens.made.forgetMarks()
    writeFileSync(tokens.made.path(TOKENS), readFileSync(join(tokens.directory, TOKENS)))
    expect(() => expectNoMix(tokens)).toThrow()
  })
})
