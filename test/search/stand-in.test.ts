import { afterEach, describe, expect, test } from 'vitest'
import { parseBaseUrl, search } from '../../src/search/search.js'
import { type StandIn, startStandIn } from '../../src/search/stand-in.js'
import { Secret } from '../../src/secret.js'

let keys = ['good-key-1234']
let standIn: StandIn | undefined

async function started(): Promise<StandIn> {
  keys = ['good-key-1234']
  standIn = await startStandIn({ accepts: (apiKey) => keys.includes(apiKey) })
  return standIn
}

afterEach(async () => {
  await standIn?.close()
  standIn = undefined
})

function post(path: string, body: string | Uint8Array, key = 'good-key-1234'): Promise<Response> {
  return fetch(`${standIn?.baseUrl}${path}`, { method: 'POST', headers: { 'x-api-key': key }, body })
}

describe('the stand-in', () => {
  test.each([1, 5, 20])('answers the search client with %i results, the same every time', async (numResults) => {
    const { baseUrl, calls } = await started()
    const options = { credential: Secret.fromText('good-key-1234'), baseUrl: parseBaseUrl(baseUrl), numResults }
    const first = await search('credential rotation', options)
    expect(first.results).toHaveLength(numResults)
    expect(first.results[0]).toEqual({
      title: 'credential rotation: an introduction',
      url: 'https://example.com/credential-rotation/introduction',
      snippet: expect.stringContaining('What it is'),
    })
    expect(new Set(first.results.map((result) => result.url)).size).toBe(numResults)
    expect(await search('credential rotation', options)).toEqual(first)
    expect(calls()).toBe(2)
  })

  test('gives five results unless told', async () => {
    await started()
    const answer = await (await post('/api/v1/search', '{"query":"$& %"}')).json()
    expect(answer).toMatchObject({ results: { length: 5, 0: { title: '$& %: an introduction' } } })
  })

  test('refuses a key as soon as it is not good any more', async () => {
    const { baseUrl } = await started()
    const options = { credential: Secret.fromText('good-key-1234'), baseUrl: parseBaseUrl(baseUrl) }
    await search('a', options)
    keys = ['new-key-5678']
    await expect(search('a', options)).rejects.toMatchObject({
      code: 'UPSTREAM',
      hints: ['mcpvault rotate scavio_api_key'],
    })
    const rotated = { ...options, credential: Secret.fromText('new-key-5678') }
    expect((await search('a', rotated)).results).toHaveLength(5)
  })

  test.each([
    'no json',
    'null',
    '[]',
    '{}',
    '{"query":""}',
    '{"query":5}',
    '{"query":"a","num_results":0}',
    '{"query":"a","num_results":21}',
    '{"query":"a","num_results":"5"}',
    JSON.stringify({ query: 'a'.repeat(70_000) }),
  ])('answers 400 to the body %.60s', async (body) => {
    await started()
    expect((await post('/api/v1/search', body)).status).toBe(400)
  })

  test('survives a query with half a surrogate pair', async () => {
    await started()
    expect((await post('/api/v1/search', '{"query":"\\ud800"}')).status).toBe(200)
  })

  test('answers 401 without a key and 404 elsewhere', async () => {
    const { baseUrl, calls } = await started()
    expect((await fetch(`${baseUrl}/api/v1/search`, { method: 'POST', body: '{"query":"a"}' })).status).toBe(401)
    expect((await post('/api/v1/search', '{"query":"a"}', 'bad')).status).toBe(401)
    expect((await post('/api/v1/other', '{}')).status).toBe(404)
    expect((await fetch(`${baseUrl}/api/v1/search`)).status).toBe(404)
    expect(calls()).toBe(4)
  })

  test('ends though connections are open', async () => {
    const { baseUrl, close } = await started()
    // fetch keeps its connection alive.
    await fetch(baseUrl)
    await close()
    await expect(fetch(baseUrl)).rejects.toThrow()
  })
})
