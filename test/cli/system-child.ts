/** Uses the real context as a process of its own, for system.test.ts and prompt.test.ts. */
import { spawnSync } from 'node:child_process'
import { main } from '../../src/cli/main.js'
import { systemContext } from '../../src/cli/system.js'
import { VaultError } from '../../src/errors.js'

const [mode, argument = ''] = process.argv.slice(2)
const context = systemContext()

async function act(): Promise<void> {
  switch (mode) {
    case 'write':
      return context.stdout.write('x'.repeat(Number(argument)))
    case 'read':
      return context.stdout.write(`${(await context.stdin.readAll(Number(argument))).length}\n`)
    case 'descriptor':
      return context.stdout.write(context.readDescriptor(Number(argument), 100))
    case 'program':
      return context.stdout.write(
        JSON.stringify(context.runProgram(JSON.parse(argument) as string[], { timeoutMs: 500, maxBytes: 1000 })),
      )
    case 'terminals':
      return context.stdout.write(
        JSON.stringify([context.stdin.isTerminal, context.stdout.isTerminal, context.stderr.isTerminal]),
      )
    case 'hidden':
      context.stderr.write(`pid=${process.pid};\n`)
      return context.stdout.write(`answer=${Buffer.from(await context.prompt.hidden(argument)).toString('hex')}\n`)
    case 'confirm':
      return context.stdout.write(`answer=${await context.prompt.confirm(argument)}\n`)
    case 'main':
      process.exitCode = await main(JSON.parse(argument) as string[], context)
      return
    case 'nonblocking-parent':
      // A stream on a pipe makes it non-blocking, for every process that shares it.
      process.stdout.write('')
      spawnSync(process.execPath, [process.argv[1] as string, 'write', argument], { stdio: 'inherit' })
  }
}

act().catch((error: unknown) => {
  const isKnown = error instanceof VaultError
  context.stderr.write(isKnown ? `${error.code}: ${error.message}\n` : `unexpected: ${error}\n`)
  process.exitCode = isKnown ? error.exitCode : 70
})
