import { expect, it } from 'vitest'
import { changeVault } from '../../src/vault/change.js'
import { expectCode, secret, VaultWorld } from './vault-support.js'

async function importMany(world: VaultWorld, count: number): Promise<void> {
  const values = Array.from({ length: count }, (_, index) => ({
    name: `n${index}`,
    value: secret(`v${index}`),
    sinceMs: undefined,
  }))
  await changeVault(world.access(), 'import', (draft) =>
    draft.importAll(values, { onConflict: 'fail', reason: 'many' }),
  )
}

it.each(['native', 'tutorial'] as const)('ten thousand values come into a %s vault', async (format) => {
  const world = await VaultWorld.create({ format })
  await importMany(world, 10_000)
  expect(world.open().names()).toHaveLength(10_000)
  expect([world.text('n0'), world.text('n9999')]).toEqual(['v0', 'v9999'])
  expect(world.report()).toMatchObject({ problems: [], gaps: [], torn: false })
})

it('100,000 credentials come into a vault, and one more is refused', async () => {
  const world = await VaultWorld.create()
  await expectCode('INPUT', () => importMany(world, 100_001))
  expect(world.open().names()).toEqual([])
  await importMany(world, 100_000)
  expect(world.open().names()).toHaveLength(100_000)
})
