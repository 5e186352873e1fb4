import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { redactMessage } from '../../src/gateway/redact-message.js'
import { createRedactor } from '../../src/redact/forms.js'
import { Secret } from '../../src/secret.js'
import { findForms } from '../support/forms.js'
import { call, GatewayWorld, NOTES_KEY, rpc, startUpstream } from './gateway-support.js'

/** How a value may be written in an answer. */
const SPELLINGS: readonly ((value: string) => string)[] = [
  (value) => JSON.stringify(value).slice(1, -1),
  (value) => Array.from(value, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join(''),
  // Every second letter escaped: a mixture that no encoder writes.
  (value) =>
    Array.from(value, (unit, at) =>
      at % 2 === 0 ? `\\u00${unit.charCodeAt(0).toString(16).padStart(2, '0')}` : JSON.stringify(unit).slice(1, -1),
    ).join(''),
  (value) => encodeURIComponent(value),
  (value) => Buffer.from(value).toString('hex').toUpperCase(),
  (value) => Buffer.from(value).toString('base64'),
  (value) => Buffer.from(`x${value}y`).toString('base64url'),
  (value) => JSON.stringify(JSON.stringify({ deep: value })).slice(1, -1),
]

function answerWith(text: string): string {
  return `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"before ${text} after"}]}}`
}

describe('redaction', () => {
  it('finds a value in every spelling, and stays JSON', () => {
    const redact = createRedactor([Secret.fromText(NOTES_KEY)])
    for (const spell of SPELLINGS) {
      const clean = redactMessage(answerWith(spell(NOTES_KEY)), redact)
      expect(findForms(JSON.stringify(JSON.parse(clean)), NOTES_KEY)).toEqual([])
      expect(clean).toMatch(/before .*\[redacted\].* after/)
    }
  })

  it('leaves everything else byte for byte', () => {
    const redact = createRedactor([Secret.fromText(NOTES_KEY)])
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(redactMessage(json, redact)).toBe(json)
      }),
    )
  })

  it('gives an error for a message in whose structure a value stands', () => {
    const redact = createRedactor([Secret.fromText('"x":[1,2],"y"')])
    expect(JSON.parse(redactMessage('{"id":7,"x":[1,2],"y":0}', redact))).toMatchObject({
      id: 7,
      error: { code: -32004 },
    })
  })

  it('holds in streams, wherever they are cut, in notifications and errors too', async () => {
    let pieces: readonly string[] = []
    const upstream = await startUpstream(async (_received, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      if (pieces.length === 1) return response.end(pieces[0])
      for (const piece of pieces) {
        response.write(piece)
        await new Promise((resolve) => setImmediate(resolve))
      }
      return response.end()
    })
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token()
    const spelled = fc.constantFrom(...SPELLINGS)
    await fc.assert(
      fc.asyncProperty(
        fc.array(spelled, { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        async (spells, cuts) => {
          const note = (text: string): string =>
            `: ${NOTES_KEY}\nid: ${NOTES_KEY}\ndata: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"${text}"}}\n\n`
          const error = `data: {"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"${JSON.stringify(NOTES_KEY).slice(1, -1)}"}}\n\n`
          const text = spells.map((spell) => note(spell(NOTES_KEY))).join('') + error
          const places = [0, ...cuts.map((cut) => cut % text.length).sort((a, b) => a - b), text.length]
          pieces = places.slice(1).map((end, index) => text.slice(places[index], end))
          const answer = await (await world.post(call('a'), { token })).text()
          expect(findForms(answer, NOTES_KEY)).toEqual([])
          expect(answer.match(/\[redacted\]/g)?.length).toBe(2 * spells.length + 1)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('records a leak once for each version, which makes the credential due', async () => {
    const upstream = await startUpstream((received, response) =>
      response.writeHead(500, { 'content-type': 'text/html' }).end(`<p>${received.headers.authorization}`),
    )
    const world = await GatewayWorld.inFrontOf(upstream.url)
    const token = await world.token({ tools: ['notes/a'] })
    for (let round = 0; round < 3; round += 1) {
      const response = await world.post(rpc('tools/list'), { token })
      expect([response.status, response.headers.get('content-type'), await response.text()]).toEqual([
        500,
        'text/plain',
        '<p>Bearer [redacted]',
      ])
    }
    await expect.poll(() => world.vault.history().filter((line) => line.includes('leaked'))).toHaveLength(1)
    expect(world.vault.open().describe('notes_key')?.versions[0]?.leakedMs).toBe(world.vault.nowMs)
    expect(world.audit().filter(({ event }) => event === 'leak')).toHaveLength(3)
    expect(world.log.join('')).not.toContain(NOTES_KEY)
  })
})
