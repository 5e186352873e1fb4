import type { ConfigText } from './config-text.js'
import type { PreparedConfig } from './adopt.js'
import { openConfig } from './open-config.js'
import { spellingsOf } from './reversal.js'

/** What stands in the place of a secret. */
export const MASK = '[secret]'

/**
 * Shows what is to change in a config, as lines that go and come, with every secret of the config masked: those that stay
 * in it, too.
 */
export async function maskedDiff({ plan, text, servers }: PreparedConfig): Promise<string> {
  const { file, config, servers: surveyed } = plan.surveyed
  const after = await openConfig({ path: file.path, text })
  const secrets = surveyed.flatMap(({ findings }) => findings.map(({ value }) => value))
  const lines = [`--- ${file.path}`, `+++ ${file.path}`]
  for (const { moves } of servers) {
    const { name, path } = moves.surveyed.server
    lines.push(`@@ ${name} @@`)
    lines.push(...diffLines(maskedLines(config, path, secrets), maskedLines(after, path, secrets)))
  }
  return `${lines.join('\n')}\n`
}

function maskedLines(
  config: ConfigText,
  path: readonly (string | number)[],
  secrets: readonly string[],
): readonly string[] {
  const { text } = config
  return config.regionsOf(path).flatMap(({ start, end }) => {
    const from = text.lastIndexOf('\n', start - 1) + 1
    const feed = text.indexOf('\n', end)
    return mask(text.slice(from, feed < 0 ? text.length : feed), secrets).split(/\r?\n/)
  })
}

function mask(text: string, secrets: readonly string[]): string {
  const spellings = [...new Set(secrets.flatMap(spellingsOf))].sort((a, b) => b.length - a.length)
  return spellings.reduce((masked, spelling) => masked.replaceAll(spelling, MASK), text)
}

/** Lines that are in both, in order, are left out. */
function diffLines(before: readonly string[], after: readonly string[]): readonly string[] {
  const lengths = before.map(() => new Array<number>(after.length + 1).fill(0))
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    const row = lengths[i]
    for (let j = after.length - 1; j >= 0 && row; j--) {
      row[j] = before[i] === after[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1))
    }
  }
  const lines: string[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      i += 1
      j += 1
    } else if (i < before.length && (j === after.length || at(i + 1, j) >= at(i, j + 1))) lines.push(`-${before[i++]}`)
    else lines.push(`+${after[j++]}`)
  }
  return lines
}
