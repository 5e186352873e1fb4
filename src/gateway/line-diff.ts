/** One line of a difference: `+` was added, `-` was taken out. */
export type DiffLine = `${'+' | '-'} ${string}`

/** Beyond this many lines on either side everything is shown as replaced: the table would be too large. */
const MOST_LINES = 2000

/** Compares two texts line by line and gives what differs, in order. */
export function diffLines(before: string, after: string): readonly DiffLine[] {
  const [left, right] = trimCommon(before.split('\n'), after.split('\n'))
  if (left.length > MOST_LINES || right.length > MOST_LINES) return [...left.map(removed), ...right.map(added)]
  const lengths = commonLengths(left, right)
  const lines: DiffLine[] = []
  let [i, j] = [0, 0]
  while (i < left.length || j < right.length) {
    const [was, is] = [left[i], right[j]]
    if (was !== undefined && was === is) {
      i += 1
      j += 1
    } else if (is === undefined || (was !== undefined && (lengths[i + 1]?.[j] ?? 0) >= (lengths[i]?.[j + 1] ?? 0))) {
      lines.push(removed(was ?? ''))
      i += 1
    } else {
      lines.push(added(is))
      j += 1
    }
  }
  return lines
}

function removed(line: string): DiffLine {
  return `- ${line}`
}

function added(line: string): DiffLine {
  return `+ ${line}`
}

function trimCommon(left: string[], right: string[]): readonly [readonly string[], readonly string[]] {
  let start = 0
  while (start < left.length && start < right.length && left[start] === right[start]) start += 1
  let [leftEnd, rightEnd] = [left.length, right.length]
  while (leftEnd > start && rightEnd > start && left[leftEnd - 1] === right[rightEnd - 1]) {
    leftEnd -= 1
    rightEnd -= 1
  }
  return [left.slice(start, leftEnd), right.slice(start, rightEnd)]
}

/** Lengths of the longest common subsequences of all ends of both sides. */
function commonLengths(left: readonly string[], right: readonly string[]): readonly (readonly number[])[] {
  const lengths = Array.from({ length: left.length + 1 }, () => new Array<number>(right.length + 1).fill(0))
  for (let i = left.length - 1; i >= 0; i -= 1) {
    const [row, below] = [lengths[i] ?? [], lengths[i + 1] ?? []]
    for (let j = right.length - 1; j >= 0; j -= 1) {
      row[j] = left[i] === right[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0)
    }
  }
  return lengths
}
