#!/usr/bin/env node
'use strict'

// A listener keeps SIGUSR1 from opening the inspector, through which other processes of this user could read secrets.
process.on('SIGUSR1', () => {})

try {
  const { main, systemContext } = require('../dist/cli/entry.js')
  main(process.argv.slice(2), systemContext()).then((status) => {
    process.exitCode = status
  }, fail)
} catch (error) {
  fail(error)
}

/** Reports what nobody expected; its message may quote input, so only --debug prints it. */
function fail(error) {
  const details = process.argv.includes('--debug') ? `\n${error?.stack ?? error}` : ''
  const { writeSync } = require('node:fs')
  writeSync(2, `mcpvault: error: a bug in mcpvault: unexpected ${error?.name ?? 'failure'}${details}\n`)
  process.exitCode = 70
}
