import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, RequestListener } from 'node:http'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { sha256 } from '../../src/crypto/kdf.js'
import { runHook } from '../../src/rotation/hook.js'
import { probeValue } from '../../src/rotation/probe.js'
import type { ProbeSpec } from '../../src/rotation/spec.js'
import { Secret } from '../../src/secret.js'
import { findForms } from '../support/forms.js'
import { closedPort, startBytes, startHttp, startRaw } from '../support/loopback.js'
import { failureOf, RotationPlace } from './rotation-support.js'

const VALUE = 'sk-new-0a1b2c/3d+4e5f=6071'

const ask = (value = VALUE) => ({ credential: 'api_key', version: 4, value: Secret.fromText(value) })
const command: ProbeSpec = { kind: 'command', argv: ['./probe'] }
/** Takes the template that was written last. */
let http: ProbeSpec = { kind: 'http', file: 'probe.json' }

/** Starts a server that is closed when the test is over. */
async function serve(listener: RequestListener): Promise<string> {
  const server = await startHttp(listener)
  onTestFinished(() => server.close())
  return server.url
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks).toString('utf8')
}

function template(place: RotationPlace, content: unknown): void {
  const text = typeof content === 'string' ? content : JSON.stringify(content)
  writeFileSync(join(place.directory, 'probe.json'), text, { mode: 0o600 })
  http = { kind: 'http', file: 'probe.json', sha256: sha256(Buffer.from(text)).toString('hex') }
}

describe('a probe that is a command', () => {
  it('gets the value on stdin and says yes with status 0', async () => {
    const place = new RotationPlace()
    place.script('probe', 'cat > asked')
    await probeValue(command, ask(), place.world())
    expect(JSON.parse(readFileSync(join(place.directory, 'asked'), 'utf8'))).toEqual({
      step: 'verify',
      credential: 'api_key',
      version: 4,
      value: VALUE,
    })
  })

  it('gets bytes that are no text as base64', async () => {
    const place = new RotationPlace()
    place.script('probe', 'cat > asked')
    await probeValue(command, { ...ask(), value: new Secret(Buffer.from([0xff, 0xfe])) }, place.world())
    expect(readFileSync(join(place.directory, 'asked'), 'utf8')).toContain('"value_base64":"//4="')
  })

  it('says no with another status, and what it prints is shown without the value', async () => {
    const place = new RotationPlace()
    place.script('probe', `cat; echo 'tried ${VALUE}' >&2; exit 1`)
    const error = await failureOf(probeValue(command, ask(), place.world()))
    expect(error).toMatchObject({
      code: 'ROTATION',
      message: 'cannot verify the new value of "api_key": the probe "probe" exited with status 1',
    })
    expect(place.said).toContain('probe: tried [redacted]')
    expect(place.said.join('\n')).toContain('"value":"[redacted]"')
    expect(findForms(place.said.join('\n'), VALUE)).toEqual([])
  })
})

describe('a probe that is a search', () => {
  const scavio: ProbeSpec = { kind: 'scavio' }

  it('makes one with the value', async () => {
    const keys: unknown[] = []
    const url = await serve((request, response) => {
      keys.push(request.headers['x-api-key'])
      response.end('{"results":[]}')
    })
    await probeValue(scavio, ask(), new RotationPlace().world({ searchBaseUrl: url }))
    expect(keys).toEqual([VALUE])
  })

  it('says no when the API refuses the value, and does not advise to rotate within a rotation', async () => {
    const url = await serve((request, response) => {
      response.writeHead(401).end(`{"error":"${String(request.headers['x-api-key'])} is unknown"}`)
    })
    const error = await failureOf(probeValue(scavio, ask(), new RotationPlace().world({ searchBaseUrl: url })))
    const host = new URL(url).host
    expect(error).toMatchObject({ code: 'ROTATION', hints: [] })
    expect(error.message).toBe(
      `cannot verify the new value of "api_key": cannot call "${host}": it refused the credential "scavio_api_key" (status 401)`,
    )
  })
})

describe('a probe that is a request', () => {
  it('puts the value into headers, the address and a body of JSON, escaped where that is needed', async () => {
    const seen: unknown[] = []
    const url = await serve(async (request, response) => {
      const { authorization, 'content-type': type, 'user-agent': agent } = request.headers
      seen.push([request.method, request.url, authorization, type, agent, await bodyOf(request)])
      response.writeHead(204).end()
    })
    const place = new RotationPlace()
    template(place, {
      method: 'POST',
      url: `${url}/v1/{{value}}?key={{value}}`,
      headers: { Authorization: 'Bearer {{value}}', 'User-Agent': 'probe' },
      body: { keys: ['{{value}}'], n: 1 },
      status: [200, 204],
    })
    await probeValue(http, ask('a"b&c/d'), place.world())
    expect(seen).toEqual([
      [
        'POST',
        '/v1/a%22b%26c%2Fd?key=a%22b%26c%2Fd',
        'Bearer a"b&c/d',
        'application/json',
        'probe',
        '{"keys":["a\\"b&c/d"],"n":1}',
      ],
    ])
  })

  it('sends a body of text as it stands, and expects 200 unless told', async () => {
    const bodies: string[] = []
    const url = await serve(async (request, response) => {
      bodies.push(await bodyOf(request))
      response.end('x'.repeat(100_000))
    })
    const place = new RotationPlace()
    template(place, { method: 'PUT', url, body: 'key=$& {{value}}' })
    await probeValue(http, ask('$& $1'), place.world())
    expect(bodies).toEqual(['key=$& $& $1'])
  })

  it.each([
    [401, 'answered with status 401 instead of 200'],
    [500, 'answered with status 500 instead of 200'],
    [302, 'answered with status 302 instead of 200, and redirects are not followed'],
  ])('says no to status %i, and follows nothing', async (status, reason) => {
    let calls = 0
    const url = await serve((request, response) => {
      calls += 1
      response.writeHead(status, { location: '/elsewhere' }).end(JSON.stringify(request.headers))
    })
    const place = new RotationPlace()
    template(place, { url, headers: { 'x-api-key': '{{value}}' } })
    const error = await failureOf(probeValue(http, ask(), place.world()))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(error.message).toContain(reason)
    expect(findForms(JSON.stringify([error, error.message, error.stack]), VALUE)).toEqual([])
    expect(calls).toBe(1)
  })

  it.each([
    ['does not answer', () => startRaw(() => {}), 'timed out after 0.3 s'],
    ['ends the connection', () => startRaw((socket) => socket.destroy()), 'the answer was cut short'],
    ['speaks something else', () => startBytes('SSH-2.0-OpenSSH_9.2\r\n'), 'the answer was not valid HTTP'],
  ])('says no to a server that %s', async (_, start, reason) => {
    const server = await start()
    onTestFinished(() => server.close())
    const place = new RotationPlace()
    template(place, { url: server.url, headers: { 'x-api-key': '{{value}}' } })
    const error = await failureOf(probeValue(http, ask(), place.world({ timeoutMs: 300 })))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(error.message).toContain(reason)
  })

  it('says no when nobody listens', async () => {
    const place = new RotationPlace()
    template(place, { url: await closedPort(), headers: { 'x-api-key': '{{value}}' } })
    const error = await failureOf(probeValue(http, ask(), place.world()))
    expect(error.message).toContain('could not connect (ECONNREFUSED)')
  })

  it.each([
    ['no JSON', '{"url":', 'it is not one JSON object'],
    ['a list', [], 'it is not one JSON object'],
    ['a strange member', { url: 'https://h/{{value}}', retries: 3 }, 'a member that is none of'],
    ['no place for the value', { url: 'https://h/' }, '{{value}} stands nowhere in it'],
    ['no address', { headers: { a: '{{value}}' } }, 'it has no url'],
    ['plain http to another machine', { url: 'http://example.com/{{value}}' }, 'is not https, or http on loopback'],
    ['a user name', { url: 'https://u:p@h/{{value}}' }, 'the url is not https://HOST/PATH'],
    ['the value as host', { url: 'https://{{value}}.example/' }, 'the url is not https://HOST/PATH'],
    ['the value as port', { url: 'https://h:{{value}}/' }, 'the url is not https://HOST/PATH'],
    ['a backslash', { url: 'https://h\\{{value}}/' }, 'the url is not https://HOST/PATH'],
    ['a redirect as success', { url: 'https://h/{{value}}', status: 302 }, 'status is a redirect'],
    ['no status', { url: 'https://h/{{value}}', status: [] }, 'status is no number from 200 to 599'],
    ['a strange method', { url: 'https://h/{{value}}', method: 'CONNECT' }, 'the method is none of'],
    ['a body for GET', { url: 'https://h/{{value}}', body: 'x' }, 'a GET request has no body'],
    ['a header of the connection', { url: 'https://h/', headers: { Host: '{{value}}' } }, '"host" is made by'],
    ['a header twice', { url: 'https://h/', headers: { A: '{{value}}', a: '' } }, 'the header "a" is given twice'],
    ['a header with a line', { url: 'https://h/', headers: { a: '{{value}}\r\nb: c' } }, 'not a text of visible ASCII'],
    ['a bad header name', { url: 'https://h/', headers: { 'a b': '{{value}}' } }, 'a name that HTTP does not allow'],
  ])('refuses a template with %s', async (_, content, reason) => {
    const place = new RotationPlace()
    template(place, content)
    const error = await failureOf(probeValue(http, ask(), place.world()))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(error.message).toContain(reason)
  })

  it('refuses a template that is not there, and one that others can write: it decides where the value goes', async () => {
    const place = new RotationPlace()
    expect((await failureOf(probeValue(http, ask(), place.world()))).message).toContain('no request template')
    template(place, { url: 'https://127.0.0.1:9/{{value}}' })
    chmodSync(join(place.directory, 'probe.json'), 0o666)
    expect((await failureOf(probeValue(http, ask(), place.world()))).message).toContain('other users')
  })

  it('does not send a value that would break a header', async () => {
    let calls = 0
    const url = await serve((_, response) => {
      calls += 1
      response.end()
    })
    const place = new RotationPlace()
    template(place, { url, headers: { 'x-api-key': '{{value}}' } })
    for (const value of ['a\r\nb: c', 'schlüssel']) {
      const error = await failureOf(probeValue(http, ask(value), place.world()))
      expect(error.message).toContain('the value cannot be sent in a header')
    }
    expect(calls).toBe(0)
  })

  it('finds a template in the home directory', async () => {
    const place = new RotationPlace()
    const url = await serve((_, response) => response.end())
    template(place, { url, headers: { 'x-api-key': '{{value}}' } })
    const world = { ...place.world(), directory: '/nowhere' }
    await probeValue({ ...http, file: '~/probe.json' } as ProbeSpec, ask(), world)
  })
})

describe('a hook', () => {
  it('runs without the value, and what it prints is shown in its order', async () => {
    const place = new RotationPlace()
    place.script('reload', 'echo "reloading $1"; cat; env | grep -c . > count; echo done >&2')
    await runHook(['./reload', 'mcp'], { credential: 'api_key', version: 4 }, place.world())
    expect(place.said.sort()).toEqual(['hook: done', 'hook: reloading mcp'])
  })

  it('that fails says so, and for which version', async () => {
    const place = new RotationPlace()
    place.script('reload', 'exit 7')
    const error = await failureOf(runHook(['./reload'], { credential: 'api_key', version: 4 }, place.world()))
    expect(error).toMatchObject({
      code: 'ROTATION',
      message: 'cannot finish the rotation of "api_key" to version 4: the hook "reload" exited with status 7',
    })
  })

  it('is heard while it runs: a line at a time, whole ones only, without the value wherever it is cut', async () => {
    const place = new RotationPlace()
    const [half, rest] = [VALUE.slice(0, 9), VALUE.slice(9)]
    place.script(
      'probe',
      `printf 'one\\ntwo ${half}' >&2; while [ ! -e go ]; do sleep 0.01; done; printf '${rest}.\\n\\303' >&2
      while [ ! -e on ]; do sleep 0.01; done; printf '\\244 end' >&2`,
    )
    const touch = (name: string): void => writeFileSync(join(place.directory, name), '')
    const said: string[] = []
    const say = (line: string): void => {
      said.push(line)
      touch(said.length === 1 ? 'go' : 'on')
    }
    await probeValue(command, ask(), place.world({ say }))
    expect(said).toEqual(['probe: one', 'probe: two [redacted].', 'probe: ä end'])
  })

  it('may print as much as it likes', async () => {
    const place = new RotationPlace()
    place.script('reload', 'seq 100000; exit 0')
    await runHook(['./reload'], { credential: 'api_key' }, place.world())
    expect(place.said.at(-1)).toBe('hook: (it printed more than is shown)')
  })
})
