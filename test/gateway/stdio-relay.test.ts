import { expect, it, vi } from 'vitest'
import { callText, withProgram } from './child-support.js'
import { connectStdio } from './stdio-support.js'

const URI = 'notes://one'

it('a program that ends by itself is started again, and told what the client has told the one before', async () => {
  const world = await withProgram('legacy')
  const updated: string[] = []
  const client = await connectStdio(world, await world.token({ tools: ['*'], methods: ['tools', 'resources'] }), {
    era: 'legacy',
    capabilities: { roots: {} },
  })
  client.setRequestHandler('roots/list', () => ({ roots: [{ uri: 'file:///here' }] }))
  client.setNotificationHandler('notifications/resources/updated', ({ params }) => void updated.push(params.uri))
  await client.setLoggingLevel('error')
  for (const uri of [URI, 'notes://two']) await client.subscribeResource({ uri })
  await client.unsubscribeResource({ uri: 'notes://two' })
  const first = JSON.parse(await callText(client, 'who')) as { pid: number }
  await expect(callText(client, 'crash')).rejects.toThrow(/its process has ended/)
  const second = JSON.parse(await callText(client, 'who')) as { pid: number }
  expect(second.pid).not.toBe(first.pid)
  expect(JSON.parse(await callText(client, 'state'))).toMatchObject({ level: 'error', subscribed: [URI] })
  // The client's capabilities too: without them the program would not ask.
  expect(await callText(client, 'roots')).toContain('file:///here')
  await callText(client, 'touch', { uri: URI })
  expect(updated).toEqual([URI])
})

it('a call that the client cancels ends in the program, and no answer to it comes', async () => {
  const world = await withProgram('legacy')
  const lines: string[] = []
  const client = await connectStdio(world, await world.token({ tools: ['*'] }), {
    era: 'legacy',
    onLine: (line) => lines.push(line),
  })
  const stop = new AbortController()
  const onprogress = (): void => stop.abort()
  const waited = client.callTool({ name: 'wait', arguments: { ms: 60_000 } }, { signal: stop.signal, onprogress })
  await expect(waited).rejects.toThrow()
  await vi.waitFor(async () => expect(JSON.parse(await callText(client, 'state'))).toMatchObject({ cancelled: 1 }))
  const answered = lines.map((line) => (JSON.parse(line) as { id?: number }).id).filter((id) => id !== undefined)
  expect(answered).toEqual([...new Set(answered)])
  expect(lines.join('')).not.toContain('error')
})

it('questions of a program and of its successor are not taken for each other, though they have the same ids', async () => {
  const world = await withProgram('legacy')
  const client = await connectStdio(world, await world.token({ tools: ['*'] }), {
    era: 'legacy',
    capabilities: { sampling: {} },
  })
  const answers: (() => void)[] = []
  client.setRequestHandler('sampling/createMessage', async () => {
    const text = `answer ${answers.length}`
    await new Promise<void>((resolve) => answers.push(resolve))
    return { model: 'm', role: 'assistant', content: { type: 'text', text } }
  })
  const first = callText(client, 'ask')
  await vi.waitFor(() => expect(answers).toHaveLength(1))
  const before = await callText(client, 'who')
  await world.vault.rotate('notes_key', 'sk_rotated_value')
  await vi.waitFor(async () => expect(await callText(client, 'who')).not.toBe(before), { timeout: 10_000 })
  const second = callText(client, 'ask')
  await vi.waitFor(() => expect(answers).toHaveLength(2))
  answers[1]?.()
  expect(await second).toContain('answer 1')
  answers[0]?.()
  expect(await first).toContain('answer 0')
})
