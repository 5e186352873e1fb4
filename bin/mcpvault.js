#!/usr/bin/env sh
':' //; exec node -- "$0" "$@"
'use strict'

// The two lines above are shell and JavaScript at once. Without the `--` Node takes `--env-file` for its own, wherever it
// stands: it ends when the file is missing, waits for a FIFO, and obeys a NODE_OPTIONS in it (nodejs/node#54232).
// `env -S` would do as well, but busybox does not have it.

// A listener keeps SIGUSR1 from opening the inspector, through which other processes of this user could read secrets.
process.on('SIGUSR1', () => {})

const { existsSync, readFileSync, writeSync } = require('node:fs')

const CLI = `${__dirname}/../dist/cli`
const DIGEST_BYTES = 32

try {
  run(process.argv.slice(2)).then(exit, fail)
} catch (error) {
  fail(error)
}

/** Tries the file of the command that is named, if any: what loads everything else costs more than most commands do. */
function run(argv) {
  const file = findCommand(argv)
  if (file !== undefined) {
    const command = load(file)
    const running = command.run(argv, command.systemContext())
    if (running) return running
  }
  const { main, systemContext } = require(`${CLI}/entry.js`)
  return main(argv, systemContext())
}

/** The file of the first word, or pair of words such as `token create`, that is a command. */
function findCommand(argv) {
  if (argv.includes('--help')) return undefined
  for (const [index, word] of argv.entries()) {
    for (const name of [word, `${word}-${argv[index + 1]}`]) {
      const path = `${CLI}/run-${name}.js`
      if (/^[a-z-]+$/.test(name) && existsSync(path)) return path
    }
  }
}

/**
 * Loads a command's file. For the Node that built it, V8's compiled code lies beside it (warm.js) and saves a quarter of
 * a start; any other Node compiles. V8 trusts that code blindly, so it is led by a digest over the source and itself.
 */
function load(filename) {
  const compiled = `${filename}.${process.version}.${process.arch}`
  if (!existsSync(compiled)) return require(filename)
  const source = `(function (exports, require, module) {${readFileSync(filename, 'utf8')}\n})`
  const bytes = readFileSync(compiled)
  const cachedData = bytes.subarray(DIGEST_BYTES)
  const digest = require('node:crypto').createHash('sha256').update(source).update(cachedData).digest()
  if (!digest.equals(bytes.subarray(0, DIGEST_BYTES))) return require(filename)
  const { Script } = require('node:vm')
  const module = { exports: {} }
  const run = new Script(source, { filename, cachedData }).runInThisContext()
  run(module.exports, (id) => require(id.startsWith('.') ? `${CLI}/${id}` : id), module)
  return module.exports
}

/** Everything has been written synchronously, so nothing is cut off, and nothing left open can keep the process. */
function exit(status) {
  process.exit(status)
}

/** Reports what nobody expected; its message may quote input, so only --debug prints it. */
function fail(error) {
  const details = process.argv.includes('--debug') ? `\n${error?.stack ?? error}` : ''
  try {
    writeSync(2, `mcpvault: error: a bug in mcpvault: unexpected ${error?.name ?? 'failure'}${details}\n`)
  } finally {
    process.exit(70)
  }
}
