#!/usr/bin/env sh
':' //; exec node -- "$0" "$@"
'use strict'

// The two lines above are shell and JavaScript at once. Without the `--` Node takes `--env-file` for its own, wherever it
// stands: it ends when the file is missing, waits for a FIFO, and obeys a NODE_OPTIONS in it (nodejs/node#54232).
// `env -S` would do as well, but busybox does not have it.

// A listener keeps SIGUSR1 from opening the inspector, through which other processes of this user could read secrets.
process.on('SIGUSR1', () => {})

const { existsSync, readFileSync, writeSync } = require('node:fs')
const { dirname } = require('node:path')

const CLI = `${__dirname}/../dist/cli`

try {
  run(process.argv.slice(2)).then(exit, fail)
} catch (error) {
  fail(error)
}

/** Tries the file of the command that is named, if any: what loads everything else costs more than most commands do. */
function run(argv) {
  const file = findCommand(ownWords(argv))
  if (file !== undefined) {
    const command = load(file)
    const running = command.run(argv, command.systemContext())
    if (running) return running
  }
  const { main, systemContext } = load(`${CLI}/entry.js`)
  return main(argv, systemContext())
}

/** Behind `--` stand another program's words. */
function ownWords(argv) {
  const end = argv.indexOf('--')
  return end < 0 ? argv : argv.slice(0, end)
}

/** The file of the first word, or pair of words such as `token create`, that is a command. */
function findCommand(argv) {
  if (argv.includes('--help')) return undefined
  for (let index = 0; index < argv.length; index += 1) {
    const file = `${CLI}/run-${argv[index]}.js`
    if (existsSync(file)) return file
    const longer = `${CLI}/run-${argv[index]}-${argv[index + 1]}.js`
    if (existsSync(longer)) return longer
  }
}

/**
 * Loads a built file. For the Node that built it, warm.js has left V8's compiled code of it, which saves a quarter of
 * a start: two lengths, the code, the source. Any other Node compiles.
 */
function load(filename) {
  const compiled = `${filename}.${process.version}.${process.arch}`
  const bytes = existsSync(compiled) ? readFileSync(compiled) : Buffer.alloc(0)
  if (bytes.length < 8 || bytes.length !== bytes.readUInt32LE(0)) return require(filename)
  const end = bytes.readUInt32LE(4)
  const { Script } = require('node:vm')
  const script = new Script(bytes.latin1Slice(end), { filename, cachedData: bytes.subarray(8, end) })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, (id) => require(id.startsWith('.') ? `${CLI}/${id}` : id), module)
  return module.exports
}

/** Everything has been written synchronously, so nothing is cut off, and nothing left open can keep the process. */
function exit(status) {
  process.exit(status)
}

/** Reports what nobody expected; its message may quote input, so only --debug prints it. */
function fail(error) {
  const isBuilt = existsSync(`${CLI}/entry.js`)
  const message = isBuilt ? `a bug in mcpvault: unexpected ${error?.name ?? 'failure'}` : 'mcpvault is not built'
  const hints = isBuilt ? [] : [`cd '${dirname(__dirname).replaceAll("'", "'\\''")}' && npm run build`]
  const lines = [`mcpvault: error: ${message}`, ...hints.map((hint) => `mcpvault: hint: ${hint}`)].join('\n')
  const isJson = ownWords(process.argv).includes('--json')
  const details = ownWords(process.argv).includes('--debug') ? `\n${error?.stack ?? error}` : ''
  try {
    writeSync(2, `${isJson ? JSON.stringify({ error: { code: 'INTERNAL', message, hints } }) : lines}${details}\n`)
  } finally {
    process.exit(70)
  }
}
