import { it } from 'vitest'
import { nativeWorld, rotate, store, succeed, tutorialWorld } from '../cli/commands/support.js'
import { expectAnyBytesSurvived } from './any-bytes.js'

it('any bytes in any file of a native vault are survived by an examination', async () => {
  const world = await nativeWorld()
  await store(world, 'scavio_api_key', 'sk_one')
  await rotate(world, 'scavio_api_key', 'sk_two')
  await succeed(world, 'token', 'create', '--tools', 'web_search')
  await expectAnyBytesSurvived(world, 150)
})

it('any bytes in any file of a tutorial vault are survived by an examination', async () => {
  await expectAnyBytesSurvived(await tutorialWorld('python'), 150)
})
