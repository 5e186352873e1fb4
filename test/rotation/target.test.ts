import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseTarget } from '../../src/rotation/spec.js'
import { writeTarget } from '../../src/rotation/target.js'
import { Secret } from '../../src/secret.js'
import { findForms } from '../support/forms.js'
import { failureOf, RotationPlace } from './rotation-support.js'

const VALUE = 'sk-new-"0a1b\\2c3d4e5f6071'
const JSON_VALUE = JSON.stringify(VALUE)

const CONFIG = `{
  // the servers of this project
  "mcpServers": {
    "scavio": { "command": "npx", "env": {"SCAVIO_API_KEY" : "old", "OTHER": "1" }, /* keep */ },
\t"list": ["a", "b"],
    "remote": { "headers": { "Authorization": "Bearer old-token" } }
  },
}\r
`

function put(place: RotationPlace, text: string, { name = 'a.json', mode = 0o600 } = {}): string {
  const path = join(place.directory, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

const write = (place: RotationPlace, spec: string, value: string | Buffer = VALUE) =>
  writeTarget(parseTarget(spec), new Secret(Buffer.from(value)), place.world())

describe('a target in a JSON file', () => {
  it.each([
    ['/mcpServers/scavio/env/SCAVIO_API_KEY', '"SCAVIO_API_KEY" : "old"', `"SCAVIO_API_KEY" : ${JSON_VALUE}`],
    ['/mcpServers/list/1', '"b"', JSON_VALUE],
    ['/mcpServers/remote/headers/Authorization', '"Bearer old-token"', `"Bearer ${JSON_VALUE.slice(1)}`],
  ])('is written at %s, and every other byte stays', async (pointer, before, after) => {
    const place = new RotationPlace()
    const path = put(place, CONFIG, { mode: 0o640 })
    await write(place, `json:a.json#${pointer}`)
    expect(readFileSync(path, 'utf8')).toBe(CONFIG.replace(before, () => after))
    expect(statSync(path).mode & 0o777).toBe(0o640)
    expect(place.warned).toEqual([])
    expect(readdirSync(place.directory)).toEqual(['a.json'])
  })

  it('is added where its object is there', async () => {
    const place = new RotationPlace()
    const path = put(place, '{"env": {"A": "1"}}')
    await write(place, 'json:a.json#/env/B')
    expect(readFileSync(path, 'utf8')).toBe(`{"env": {"A": "1", "B": ${JSON_VALUE}}}`)
  })

  it('is left alone when it holds the value, so that a resumed rotation writes nothing', async () => {
    const place = new RotationPlace()
    const path = put(place, `{"a": ${JSON_VALUE}}`)
    const { ino } = statSync(path)
    await write(place, 'json:a.json#/a')
    expect(statSync(path).ino).toBe(ino)
  })

  it('stays behind its symbolic link', async () => {
    const place = new RotationPlace()
    put(place, '{"a":"old"}', { name: 'real/a.json' })
    symlinkSync('real/a.json', join(place.directory, 'link.json'))
    await write(place, 'json:link.json#/a')
    expect(lstatSync(join(place.directory, 'link.json')).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(place.directory, 'real/a.json'), 'utf8')).toBe(`{"a":${JSON_VALUE}}`)
  })

  it.each([
    ['broken JSON', '{"a": "old"', '/a', 'it is broken JSON at 1:12'],
    ['a member twice', '{"a":"old","a":"old"}', '/a', 'a member stands twice in one object'],
    ['an object in its place', '{"a":{"b":"c"}}', '/a', '"a" is no text'],
    ['a number in its place', '{"a":1}', '/a', '"a" is no text'],
    ['no object around it', '{"a":"old"}', '/b/c', 'there is no object to put it into'],
    ['a list that ends before it', '{"a":["x"]}', '/a/1', 'there is no object to put it into'],
    ['a reference in its place', '{"a":"$' + '{env:KEY}"}', '/a', 'refers to a value elsewhere'],
    ['a reference behind a scheme', '{"a":"Bearer $' + '{input:key}"}', '/a', 'refers to a value elsewhere'],
  ])('is not written over %s', async (_, text, pointer, reason) => {
    const place = new RotationPlace()
    const path = put(place, text)
    const error = await failureOf(write(place, `json:a.json#${pointer}`))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(error.message).toMatch(/^cannot write the target "json:a\.json#/)
    expect(error.message).toContain(reason)
    expect(findForms(JSON.stringify([error, error.message, error.stack]), VALUE)).toEqual([])
    expect(readFileSync(path, 'utf8')).toBe(text)
    expect(readdirSync(place.directory)).toEqual(['a.json'])
  })

  it('is not made up, written read-only, or trusted to others', async () => {
    const place = new RotationPlace()
    expect((await failureOf(write(place, 'json:b.json#/a'))).message).toContain('there is no such file')
    expect(existsSync(join(place.directory, 'b.json'))).toBe(false)
    put(place, '{"a":"old"}', { mode: 0o400 })
    expect((await failureOf(write(place, 'json:a.json#/a'))).message).toContain('it is read-only')
    put(place, '{"a":"old"}', { mode: 0o666 })
    expect((await failureOf(write(place, 'json:a.json#/a'))).message).toContain('other users')
  })

  it('warns when other users can read it', async () => {
    const place = new RotationPlace()
    put(place, '{"a":"old"}', { mode: 0o644 })
    await write(place, 'json:a.json#/a')
    expect(place.warned).toEqual([expect.stringContaining('other users can read "a.json"')])
  })

  it('is written from reading again when another program writes at the same moment, and loses nothing of either', async () => {
    const place = new RotationPlace()
    const path = put(place, '{"a":"old","b":"old"}')
    let isFirst = true
    const world = place.world({
      // Called for the name of the temporary file: after reading, before the rename.
      randomBytes(length) {
        if (isFirst) writeFileSync(path, '{"a":"old","b":"theirs"}')
        isFirst = false
        return Buffer.alloc(length, 7)
      },
    })
    await writeTarget(parseTarget('json:a.json#/a'), Secret.fromText(VALUE), world)
    expect(readFileSync(path, 'utf8')).toBe(`{"a":${JSON_VALUE},"b":"theirs"}`)
  })

  it('gives up when the other program never pauses', async () => {
    const place = new RotationPlace()
    const path = put(place, '{"a":"old","n":"0"}')
    let count = 0
    const world = place.world({
      randomBytes(length) {
        writeFileSync(path, `{"a":"old","n":"${++count}"}`)
        return Buffer.alloc(length, 7)
      },
    })
    const error = await failureOf(writeTarget(parseTarget('json:a.json#/a'), Secret.fromText(VALUE), world))
    expect(error).toMatchObject({ code: 'ROTATION' })
    expect(readFileSync(path, 'utf8')).toBe(`{"a":"old","n":"${count}"}`)
  })
})

describe('a target in a .env file', () => {
  it('is written in its line, and every other byte stays', async () => {
    const place = new RotationPlace()
    const path = put(place, '# keys\nexport API_KEY="old" # mine\nB=2\n', { name: '.env' })
    await write(place, 'env:.env#API_KEY', 'sk-new')
    expect(readFileSync(path, 'utf8')).toBe('# keys\nexport API_KEY="sk-new" # mine\nB=2\n')
  })

  it('takes no bytes that are no text', async () => {
    const place = new RotationPlace()
    put(place, 'A=1\n', { name: '.env' })
    const error = await failureOf(write(place, 'env:.env#A', Buffer.from([0xff, 0xfe])))
    expect(error.message).toContain('the value is not UTF-8')
  })
})

describe('a target that is a file', () => {
  it('is made with the mode 0600, and keeps its mode and a newline at its end', async () => {
    const place = new RotationPlace()
    await write(place, 'file:key')
    const path = join(place.directory, 'key')
    expect(readFileSync(path, 'utf8')).toBe(VALUE)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    put(place, 'old\n', { name: 'key', mode: 0o640 })
    await write(place, 'file:key', Buffer.from([0xff, 0x00]))
    expect(readFileSync(path)).toEqual(Buffer.from([0xff, 0x00, 0x0a]))
    expect(statSync(path).mode & 0o777).toBe(0o640)
  })

  it('is not made in a directory that is not there, nor written over a directory', async () => {
    const place = new RotationPlace()
    const missing = await failureOf(write(place, 'file:none/key'))
    expect(missing).toMatchObject({ code: 'ROTATION' })
    mkdirSync(join(place.directory, 'dir'))
    expect(await failureOf(write(place, 'file:dir'))).toMatchObject({ code: 'ROTATION' })
  })

  it('is written again from reading when another program writes at the same moment', async () => {
    const place = new RotationPlace()
    const path = put(place, 'old', { name: 'key' })
    let isFirst = true
    const world = place.world({
      randomBytes(length) {
        if (isFirst) writeFileSync(path, 'theirs\n')
        isFirst = false
        return Buffer.alloc(length, 7)
      },
    })
    await writeTarget(parseTarget('file:key'), Secret.fromText('mine'), world)
    expect(readFileSync(path, 'utf8')).toBe('mine\n')
  })
})
