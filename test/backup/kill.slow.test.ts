import { afterAll, beforeAll, describe, it } from 'vitest'
import { type Bundle, bundleScript } from '../support/bundle.js'
import { SCENES, tryKill } from './kill-scenes.js'

let child: Bundle
beforeAll(async () => {
  child = await bundleScript(new URL('./killed-restore.ts', import.meta.url))
})
afterAll(() => child.remove())

describe.each(SCENES)('a restore over %s that is killed', (_name, places, make) => {
  it.each(places)('(%s) leaves one set or the other, or one that is refused, and can be done again', (place) =>
    tryKill(child, make, place),
  )
})
