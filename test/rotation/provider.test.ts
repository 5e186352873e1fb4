import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createValue, type ProviderRequest, revokeValue } from '../../src/rotation/provider.js'
import { parseProvider } from '../../src/rotation/spec.js'
import { Secret } from '../../src/secret.js'
import { findForms } from '../support/forms.js'
import { failureOf, RotationPlace } from './rotation-support.js'

const OLD = 'sk-old-5f6d7a8b9c0d1e2f'
const NEW = 'sk-new-0a1b2c3d4e5f6071'

const request = (): ProviderRequest => ({
  credential: 'api_key',
  version: 4,
  idempotencyKey: 'k-1',
  current: Secret.fromText(OLD),
})
const created = { kind: 'command' as const, argv: ['./provider'] }

/** Runs a provider of some lines of shell. */
async function create(place: RotationPlace, body: string, changes = {}) {
  place.script('provider', body)
  return createValue(created, request(), place.world(changes))
}

describe('a provider', () => {
  it('is told the step on stdin, and gives the value, its handle and whether it may be asked again', async () => {
    const place = new RotationPlace()
    const answer = `{"value":"${NEW}","handle":"key/17","idempotent":true}`
    const { value, handle, idempotent } = await create(place, `cat > asked; printf '%s' '${answer}'`)
    expect([value.revealText(), handle, idempotent]).toEqual([NEW, 'key/17', true])
    const asked: unknown = JSON.parse(readFileSync(join(place.directory, 'asked'), 'utf8'))
    expect(asked).toEqual({
      step: 'create',
      credential: 'api_key',
      version: 4,
      idempotency_key: 'k-1',
      current: OLD,
    })
  })

  it('may leave out everything but the value, and may close stdin unread', async () => {
    const place = new RotationPlace()
    const { value, handle, idempotent } = await create(place, `exec <&-; echo '{"value":"${NEW}"}'`)
    expect([value.revealText(), handle, idempotent]).toEqual([NEW, undefined, false])
  })

  it('sees an environment of a few variables, the vault directory, no terminal and none of the arguments of a shell', async () => {
    const place = new RotationPlace()
    place.script('provider', `cat >&2; pwd >&2; env | grep -v ^_= | sort >&2; echo '{"value":"${NEW}"}'; echo "$1" >&2`)
    const spec = parseProvider('command:["./provider","$(touch made)"]')
    const world = place.world({ environment: { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' } })
    await createValue(spec, { ...request(), current: undefined }, world)
    expect(place.said.filter((line) => !line.includes('"step"'))).toEqual([
      `provider: ${place.directory}`,
      'provider: LANG=C.UTF-8',
      'provider: PATH=/usr/bin:/bin',
      expect.stringMatching(/^provider: PWD=/),
      'provider: $(touch made)',
    ])
    expect(existsSync(join(place.directory, 'made'))).toBe(false)
  })

  it.each([
    ['exits with another status', `echo '{"value":"${NEW}"}'; exit 3`, 'exited with status 3'],
    ['is killed', 'kill -9 $$', 'was ended by SIGKILL'],
    ['says nothing', 'true', 'did not answer with one JSON object'],
    ['gives half an answer', `printf '{"value":"${NEW}'`, 'did not answer with one JSON object'],
    ['gives two answers', `echo '{"value":"${NEW}"}{}'`, 'did not answer with one JSON object'],
    ['gives a list', `echo '["${NEW}"]'`, 'did not answer with one JSON object'],
    ['gives other bytes', `printf '{"value":"\\377\\376"}'`, 'did not answer with one JSON object'],
    ['gives no value', 'echo "{}"', 'answered without a text as the value'],
    ['gives an empty value', `echo '{"value":""}'`, 'answered with an empty value'],
    ['gives a number', `echo '{"value":12345678}'`, 'answered without a text as the value'],
    ['gives a NUL', `echo '{"value":"ab\\\\u0000"}'`, 'answered with a value that holds a NUL or broken Unicode'],
    [
      'gives half a character',
      `echo '{"value":"\\\\ud800"}'`,
      'answered with a value that holds a NUL or broken Unicode',
    ],
    ['gives a line', `echo '{"value":"${NEW}\\\\n"}'`, 'answered with a value that begins or ends with white space'],
    [
      'gives more than was asked',
      `echo '{"value":"${NEW}","ok":1}'`,
      'other members than value, handle and idempotent',
    ],
    ['gives the old value', `echo '{"value":"${OLD}"}'`, 'answered with the value that is live already'],
    ['calls it idempotent in other words', `echo '{"value":"${NEW}","idempotent":"yes"}'`, 'not true or false'],
    ['gives an odd handle', `echo '{"value":"${NEW}","handle":7}'`, 'a handle that is not a text'],
    ['gives a handle of lines', `echo '{"value":"${NEW}","handle":"a\\\\nb"}'`, 'control characters'],
    ['gives the value as handle', `echo '{"value":"${NEW}","handle":"x${NEW}"}'`, 'a handle that contains the value'],
    [
      'gives the old value as handle',
      `echo '{"value":"${NEW}","handle":"${OLD}"}'`,
      'a handle that contains the value',
    ],
    [
      'gives a huge value',
      `printf '{"value":"'; head -c 1048577 /dev/zero | tr '\\0' a; printf '"}'`,
      'longer than 1 MiB',
    ],
    ['never stops answering', 'exec yes', 'answered with more than 7340032 bytes, and was ended'],
  ])('that %s is an error that repeats nothing of it', async (_, body, reason) => {
    const place = new RotationPlace()
    const error = await failureOf(create(place, `echo "made ${NEW} from ${OLD}" >&2; ${body}`))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(error.message).toContain('cannot create a new value of "api_key": the provider "provider" ')
    expect(error.message).toContain(reason)
    const seen = JSON.stringify([error, error.message, error.stack, body.includes(NEW) ? place.said : []])
    expect([...findForms(seen, NEW), ...findForms(seen, OLD), ...findForms(place.said.join('\n'), OLD)]).toEqual([])
  })

  it.each([
    ['is not there', ['./nothing'], 'could not be started: there is no such program'],
    ['may not be run', ['/etc/passwd'], 'could not be started: it may not be executed'],
    ['has a NUL', ['a\0b'], 'could not be started: the system refused'],
  ])('that %s is an error', async (_, argv, reason) => {
    const error = await failureOf(createValue({ kind: 'command', argv }, request(), new RotationPlace().world()))
    expect(error.message).toContain(reason)
  })

  it('that hangs is ended with all that it started', async () => {
    const place = new RotationPlace()
    const error = await failureOf(create(place, 'sleep 1000 & echo $! > pid; echo slow >&2; wait', { timeoutMs: 300 }))
    expect(error.message).toContain('did not end within 0.3 s, and was ended')
    expect(place.said).toEqual(['provider: slow'])
    expect(await hasEnded(readFileSync(join(place.directory, 'pid'), 'utf8').trim())).toBe(true)
  })

  it('that leaves a program behind which holds its streams open is not waited for', async () => {
    const place = new RotationPlace()
    const { value } = await create(place, `sleep 1000 & echo $! > pid; echo '{"value":"${NEW}"}'`)
    expect(value.revealText()).toBe(NEW)
    const pid = Number(readFileSync(join(place.directory, 'pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
  })

  it('that floods stderr is drained, and the value is nowhere in what is shown of it', async () => {
    const place = new RotationPlace()
    const flood = `for i in $(seq 4000); do echo "$i ${NEW} ${OLD}"; done >&2`
    const { value } = await create(place, `${flood}; echo '{"value":"${NEW}"}'`)
    expect(value.revealText()).toBe(NEW)
    expect(place.said.at(-1)).toBe('provider: (it printed more than is shown)')
    expect(place.said[0]).toBe('provider: 1 [redacted] [redacted]')
    const shown = place.said.join('\n')
    expect(shown.replaceAll('[redacted]', '')).not.toMatch(/sk-/)
    expect(shown.length).toBeLessThan(80 * 1024)
  })

  it('generates by itself', async () => {
    const { value, idempotent } = await createValue(
      parseProvider('generate:20'),
      request(),
      new RotationPlace().world(),
    )
    expect(value.revealText()).toMatch(/^[A-Za-z0-9]{20}$/)
    expect(idempotent).toBe(true)
  })

  it('is no person', async () => {
    const error = await failureOf(createValue({ kind: 'manual' }, request(), new RotationPlace().world()))
    expect(error).toMatchObject({ code: 'ROTATION' })
  })
})

describe('revoking', () => {
  const revoke = (place: RotationPlace, body: string) => {
    place.script('provider', body)
    const old = Secret.fromText('sk-older-99887766')
    return revokeValue(created, { ...request(), version: 3, handle: 'key/16', revoked: old }, place.world())
  }

  it('is confirmed by {} and status 0, and is told the handle and the value that goes', async () => {
    const place = new RotationPlace()
    await revoke(place, 'cat > asked; echo "{}"')
    expect(JSON.parse(readFileSync(join(place.directory, 'asked'), 'utf8'))).toEqual({
      step: 'revoke',
      credential: 'api_key',
      version: 3,
      idempotency_key: 'k-1',
      current: OLD,
      handle: 'key/16',
      revoked: 'sk-older-99887766',
    })
  })

  it.each([
    ['nothing', 'true', 'did not answer {}, which confirms it'],
    ['something', `echo '{"error":"no"}'`, 'did not answer {}, which confirms it'],
    ['another status', 'echo "{}"; exit 1', 'exited with status 1'],
    ['another status and words', 'cat >&2; echo "{}"; exit 1', 'exited with status 1'],
  ])('is not confirmed by %s', async (_, body, reason) => {
    const place = new RotationPlace()
    const error = await failureOf(revoke(place, body))
    expect(error.message).toBe(`cannot revoke version 3 of "api_key": the provider "provider" ${reason}`)
    expect(findForms(place.said.join('\n'), OLD)).toEqual([])
    expect(findForms(place.said.join('\n'), 'sk-older-99887766')).toEqual([])
  })

  it('is up to a person where a person made the value', async () => {
    const error = await failureOf(revokeValue({ kind: 'manual' }, request(), new RotationPlace().world()))
    expect(error).toMatchObject({ code: 'ROTATION', hints: ['mcpvault rotate --retired api_key'] })
  })
})

/** Whether a process has gone; it is a zombie until whoever adopted it has looked. */
async function hasEnded(pid: string): Promise<boolean> {
  for (let round = 0; round < 500; round++) {
    const stat = existsSync(`/proc/${pid}/stat`) ? readFileSync(`/proc/${pid}/stat`, 'utf8') : ''
    if (stat === '' || /\) [ZX] /.test(stat)) return true
    await new Promise((resolve) => setImmediate(resolve))
  }
  return false
}
