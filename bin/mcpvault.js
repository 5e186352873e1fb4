#!/usr/bin/env node
'use strict'

// A listener keeps SIGUSR1 from opening the inspector, through which other processes of this user could read secrets.
process.on('SIGUSR1', () => {})

/** Words that may name a hot command, and the file that knows. */
const HOT = new Map([
  ['load', 'load'],
  ['rotation-due', 'rotation-due'],
  ['token', 'token-check'],
])

try {
  run(process.argv.slice(2)).then(exit, fail)
} catch (error) {
  fail(error)
}

/** Tries the hot command that is named, if any; what loads everything else costs more than they do. */
function run(argv) {
  const name = argv.find((word) => HOT.has(word))
  if (name !== undefined) {
    const hot = require(`../dist/cli/hot-${HOT.get(name)}.js`)
    const running = hot.run(argv, hot.systemContext())
    if (running) return running
  }
  const { main, systemContext } = require('../dist/cli/entry.js')
  return main(argv, systemContext())
}

/** Everything has been written synchronously, so nothing is cut off, and nothing left open can keep the process. */
function exit(status) {
  process.exit(status)
}

/** Reports what nobody expected; its message may quote input, so only --debug prints it. */
function fail(error) {
  const { writeSync } = require('node:fs')
  const details = process.argv.includes('--debug') ? `\n${error?.stack ?? error}` : ''
  try {
    writeSync(2, `mcpvault: error: a bug in mcpvault: unexpected ${error?.name ?? 'failure'}${details}\n`)
  } finally {
    process.exit(70)
  }
}
