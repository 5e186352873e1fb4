import { writeFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { checkLog } from '../../src/vault/check-log.js'
import { VaultWorld } from './vault-support.js'

it('does not take a writer that came between the vault and the log for an old vault', async () => {
  const world = await VaultWorld.create()
  await world.put('a', 'one')
  const opened = world.open()
  await world.rotate('a', 'two')
  await world.put('b', 'three')
  expect(checkLog(opened, world.access())).toMatchObject({ problems: [], records: 3, anchored: true })
})

it('still sees that an old vault was put back, after a writer that came between', async () => {
  const world = await VaultWorld.create()
  await world.put('a', 'one')
  const old = world.read()
  const opened = world.open()
  await world.rotate('a', 'two')
  await world.put('b', 'three')
  world.write(old)
  expect(checkLog(opened, world.access()).problems).toMatchObject([{ kind: 'ahead' }, { kind: 'ahead' }])
})

it('sees what was edited while the vault stood still', async () => {
  const world = await VaultWorld.create()
  await world.put('a', 'one')
  const opened = world.open()
  const text = JSON.stringify(world.records()).replace('created', 'rotated')
  writeFileSync(world.path('log'), text)
  expect(checkLog(opened, world.access()).problems).toMatchObject([{ kind: 'changed' }])
})
