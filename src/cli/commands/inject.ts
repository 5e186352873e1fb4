import type { Command } from 'commander'
import { VaultError } from '../../errors.js'
import { fillTemplate } from '../../exec/fill.js'
import { putPrivateFile } from '../../storage/put-file.js'
import { followLinks } from '../../storage/resolve-target.js'
import { readFileChecked } from '../../storage/read-file.js'
import { addCommand } from '../command.js'
import type { Context } from '../context.js'
import { absolutePath } from '../directories.js'
import type { CommandShape, GlobalOptions } from '../flags.js'
import { openForReading } from '../open-vault.js'
import { countOf, createPrinter } from '../printer.js'
import { sideFiles } from '../side-files.js'

/** Options of `inject`. */
export interface InjectOptions extends GlobalOptions {
  /** A path, or `-` for stdin. */
  readonly template?: string
  /** A path, or `-` for stdout. */
  readonly output?: string
}

const INJECT: CommandShape<InjectOptions> = {
  name: 'inject',
  flags: [
    { key: 'template', long: '--in-file', short: '-i', value: 'FILE', help: 'the template, "-" for stdin' },
    {
      key: 'output',
      long: '--out-file',
      short: '-o',
      value: 'FILE',
      help: 'what to write, with mode 0600; "-" for stdout',
    },
  ],
  refuseExtra: 'cannot run inject: files are named with -i FILE and -o FILE',
  examples: [
    ['fill {{ vault "scavio_api_key" }} in a template', 'mcpvault inject -i config.template.json -o config.json'],
    ['in a pipe', 'mcpvault inject -i - -o - < .env.template | ssh host sh -c "cat > .env"'],
    ['two braces that are meant as such', 'echo \'{{ "{{" }} not for us }}\' | mcpvault inject -i - -o -'],
  ],
}

const MOST_BYTES = 16 * 1024 * 1024

/** Registers `inject`. */
export function addInjectCommand(parent: Command, context: Context, run = runInject): void {
  addCommand(parent, INJECT, (options) => run(options, context))
}

/** Fills a template with values; nothing is written unless everything in it is there. */
export async function runInject(options: InjectOptions, context: Context): Promise<void> {
  const { template: input, output } = options
  if (input === undefined) throw missingFlag('-i FILE', 'the template; "-" is stdin')
  if (output === undefined) throw missingFlag('-o FILE', 'what to write; "-" is stdout')
  const template = await readTemplate(input, context)
  const { vault, access } = await openForReading(options, context, 'needed')
  const path = output === '-' ? undefined : absolutePath(output, context)
  if (path !== undefined) refuseTaken(path, { input, context, locate: (name) => access.store.locate(name) })
  const { bytes, names } = fillTemplate(template, ({ name, version }) =>
    vault.load(name, { version, nowMs: context.now() }),
  )
  try {
    if (path === undefined) {
      context.stdout.write(bytes)
      return
    }
    putPrivateFile(path, bytes, { what: 'filled template', randomBytes: (length) => context.randomBytes(length) })
  } finally {
    bytes.fill(0)
  }
  const what = names.length === 0 ? 'no credential' : countOf(names.length, 'credential')
  createPrinter(context, options).done(`wrote "${output}" with ${what} filled in`, { path, credentials: names })
}

async function readTemplate(input: string, context: Context): Promise<Buffer> {
  if (input === '-') return context.stdin.readAll(MOST_BYTES)
  const path = absolutePath(input, context)
  const snapshot = readFileChecked(path, { what: 'template', host: context.host, maxBytes: MOST_BYTES })
  if (snapshot) return snapshot.bytes
  throw new VaultError('INPUT', `cannot read the template "${input}": there is no such file`)
}

function missingFlag(flag: string, meaning: string): VaultError {
  return new VaultError('USAGE', `cannot run inject: it needs ${flag}, ${meaning}`, {
    hints: ['mcpvault inject -i config.template.json -o config.json'],
  })
}

/** The vault's own files are not to be written over, nor the template itself. */
function refuseTaken(
  path: string,
  {
    input,
    context,
    locate,
  }: {
    readonly input: string
    readonly context: Context
    readonly locate: Parameters<typeof sideFiles>[0]
  },
): void {
  const target = followLinks(path)
  const isTemplate = input !== '-' && followLinks(absolutePath(input, context)) === target
  const taken = isTemplate ? 'the template' : sideFiles(locate).get(target)
  if (taken === undefined) return
  throw new VaultError('USAGE', `cannot write the filled template to "${path}": that is the place of ${taken}`)
}
