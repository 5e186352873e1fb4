import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { temporaryDirectory } from './support/directory.js'

const run = promisify(execFile)
const builder = fileURLToPath(new URL('../build.js', import.meta.url))

async function build(directory: string): Promise<void> {
  await run(process.execPath, [builder, directory])
}

/** The built sources, without V8's compiled code of them, which no two runs make alike. */
function contents(directory: string): Readonly<Record<string, string>> {
  const files = readdirSync(join(directory, 'cli'))
    .filter((name) => /\.js(on)?$/.test(name))
    .sort()
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(directory, 'cli', name), 'latin1')]))
}

it('two builds at once into one place leave one whole build, the same as elsewhere', async () => {
  const [here, there] = [temporaryDirectory(), temporaryDirectory()]
  await Promise.all([build(here), build(here), build(there)])
  expect(readdirSync(here)).toEqual(['cli', 'lib'])
  expect(Object.keys(contents(here)).length).toBeGreaterThan(10)
  expect(contents(here)).toEqual(contents(there))
})

it('a build replaces the one before', async () => {
  const directory = temporaryDirectory()
  await build(directory)
  const first = contents(directory)
  await build(directory)
  expect(readdirSync(directory)).toEqual(['cli', 'lib'])
  expect(contents(directory)).toEqual(first)
})
