/** Calls through rotations: the trial itself, for a few calls in `npm test` and for thousands among the slow tests. */

import { expect } from 'vitest'
import { call, GatewayWorld, sendResult, startUpstream } from './gateway-support.js'

/** How large a trial is. */
export interface RotationTrial {
  readonly calls: number
  readonly rotations: number
  /** How many calls are under way at once. */
  readonly clients: number
}

/**
 * Makes calls while the credential is rotated again and again; the provider takes the current value and the one before.
 * Now and then it takes only the one before for a moment, as providers do that are slow to spread a new key.
 */
export async function tryRotations({ calls, rotations, clients }: RotationTrial): Promise<void> {
  const versions = ['first-value-of-the-key']
  let retiredUses = 0
  let isSlow = false
  const used = new Map<string, number>()
  const upstream = await startUpstream((received, response) => {
    const value = received.headers.authorization?.slice('Bearer '.length) ?? ''
    const isCurrent = value === versions.at(-1)
    const isPrevious = value === versions.at(-2)
    if (!isCurrent && !isPrevious) retiredUses += 1
    if ((!isCurrent && !isPrevious) || (isSlow && isCurrent)) return response.writeHead(401).end()
    used.set(value, (used.get(value) ?? 0) + 1)
    upstream.received.length = 0
    return sendResult(received, response, { content: [{ type: 'text', text: 'ok' }] })
  })
  const world = await GatewayWorld.create()
  await world.vault.put('trial_key', versions[0] ?? '')
  // biome-ignore lint/suspicious/noTemplateCurlyInString: that is how a reference is written
  const headers = { authorization: 'Bearer ${vault:trial_key}' }
  await world.start({ mcpServers: { notes: { url: `${upstream.url}/mcp`, headers } } })
  const token = await world.token()

  let made = 0
  let failed = 0
  const client = async (): Promise<void> => {
    while (made < calls) {
      made += 1
      const response = await world.post(call('a', {}, made), { token })
      const text = await response.text()
      if (response.status !== 200 || !text.includes('"ok"')) failed += 1
    }
  }
  const until = async (count: number): Promise<void> => {
    while (made < count) await new Promise((resolve) => setImmediate(resolve))
  }
  const rotate = async (): Promise<void> => {
    for (let round = 1; round <= rotations; round += 1) {
      await until(Math.floor((calls * round) / (rotations + 1)))
      const value = `value-number-${round}-of-the-key`
      isSlow = round % 3 === 0
      versions.push(value)
      await world.vault.rotate('trial_key', value)
      // It knows the new one before it forgets the one before: whoever has fallen back to that has been answered.
      await until(Math.floor((calls * (round + 0.5)) / (rotations + 1)))
      isSlow = false
    }
  }
  await Promise.all([rotate(), ...Array.from({ length: clients }, client)])
  expect({ failed, retiredUses }).toEqual({ failed: 0, retiredUses: 0 })
  expect(used.size).toBe(rotations + 1)
  expect([...used.values()].reduce((sum, count) => sum + count, 0)).toBe(calls)
  const [last] = world
    .audit()
    .filter(({ event }) => event === 'call')
    .slice(-1)
  expect(last).toMatchObject({ credentials: [{ name: 'trial_key', version: rotations + 1 }] })
}
