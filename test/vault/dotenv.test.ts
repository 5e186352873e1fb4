import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import { parseDotenv } from '../../src/vault/dotenv.js'
import { exportVault } from '../../src/vault/export.js'
import { secret } from './vault-support.js'

function read(text: string): Record<string, string> {
  return Object.fromEntries(parseDotenv(text).map(({ name, text: value }) => [name, value]))
}

/** Reads one value as it stands behind `A=`. */
function value(text: string): string | undefined {
  return read(`A=${text}\n`).A
}

function failure(text: string): string {
  try {
    parseDotenv(text)
  } catch (error) {
    if (error instanceof VaultError && error.code === 'INPUT') return error.message
    throw error
  }
  throw new Error(`it was read: ${JSON.stringify(text)}`)
}

describe('a .env file', () => {
  it('has one assignment a line, blank lines and comments', () => {
    expect(read('# a comment\n\n  \t\nA=1\n  B=2\nexport C=3\nexport\tD = 4\n#E=5\n')).toEqual({
      A: '1',
      B: '2',
      C: '3',
      D: '4',
    })
    expect(read('')).toEqual({})
    expect(read('# only this')).toEqual({})
  })

  it('may end without a line feed, begin with a byte order mark and have the line ends of Windows', () => {
    expect(read('\uFEFFA=1\r\n\r\nB="2"\r\n# c\r\nC= 3 \r\nD=')).toEqual({ A: '1', B: '2', C: '3', D: '' })
  })

  it('takes names as they are, in every case', () => {
    const names = ['lower', 'UPPER', '_x', '1st', 'a.b-c', 'export', '__proto__']
    expect(parseDotenv(names.map((name) => `${name}=1\n`).join('')).map(({ name }) => name)).toEqual(names)
  })

  it('drops white space around a bare value and a comment behind it, and keeps the rest literally', () => {
    expect(value('  two words \t')).toBe('two words')
    expect(value('x # why')).toBe('x')
    expect(value('x\t#')).toBe('x')
    expect(value(' # nothing')).toBe('')
    expect(value('a=b==')).toBe('a=b==')
    expect(value('C:\\new\\$HOME `x` it\'s "so"')).toBe('C:\\new\\$HOME `x` it\'s "so"')
  })

  it('refuses a bare value with a # that programs read differently', () => {
    for (const text of ['abc#def', '#abc', 'a#', 'x y#z # c']) {
      expect(failure(`B=1\nA=${text}\n`)).toBe(
        'cannot read line 2: programs disagree about a # inside of a value: put the value in single quotes',
      )
    }
    expect(value("'abc#def' # c")).toBe('abc#def')
  })

  it('reads double quotes with their escapes, over several lines', () => {
    expect(value('"a # b"')).toBe('a # b')
    expect(value('"a\\nb\\tc\\rd"')).toBe('a\nb\tc\rd')
    expect(value('"\\"\\\\\\$\\`"')).toBe('"\\$`')
    expect(value('"C:\\path \\\'"')).toBe("C:\\path \\'")
    expect(value('"-----BEGIN\nabc\n-----END\n"')).toBe('-----BEGIN\nabc\n-----END\n')
    expect(value('"one\r\ntwo"')).toBe('one\ntwo')
    expect(read('A="1\n2"\nB=3')).toEqual({ A: '1\n2', B: '3' })
  })

  it('takes single quotes and backticks literally, over several lines', () => {
    expect(value("'a\\nb\"$x`'")).toBe('a\\nb"$x`')
    expect(value("'one\r\ntwo'")).toBe('one\r\ntwo')
    expect(value("'it'\\''s'")).toBe("it's")
    expect(value("''\\'''\\'''")).toBe("''")
    expect(value('`it\'s "so"\n`')).toBe('it\'s "so"\n')
    expect(value("''")).toBe('')
    expect(value('""')).toBe('')
  })

  it('names the line of what it cannot read, and nothing else', () => {
    const cases: readonly (readonly [text: string, line: number, why: string])[] = [
      ['A=1\nhunter2\n', 2, 'expected NAME=VALUE or a comment'],
      ['export A\n', 1, 'expected NAME=VALUE or a comment'],
      ['=hunter2\n', 1, 'expected NAME=VALUE or a comment'],
      ['hunter2: x\n', 1, 'expected NAME=VALUE or a comment'],
      ['\n\nA="hunter2\nmore\n', 3, 'the quote that is opened there is not closed'],
      ['A="\\"', 1, 'the quote that is opened there is not closed'],
      ['A="hunter2" hunter2\n', 1, 'something stands behind the closing quote'],
      ['A="x"#hunter2\n', 1, 'something stands behind the closing quote'],
      ['hunter2=1\nB="\n\n"\nhunter2=2\n', 5, 'its name stands in line 1 already'],
    ]
    for (const [text, line, why] of cases) {
      const message = failure(text)
      expect(message, text).toBe(`cannot read line ${line}: ${why}`)
      expect(message).not.toContain('hunter2')
    }
  })

  it('gives back what export has written, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.string({ unit: 'binary' }).filter((text) => text !== '' && !text.includes('\0') && text.isWellFormed()),
          {
            minLength: 1,
            maxLength: 5,
          },
        ),
        async (texts) => {
          const vault = {
            names: () => texts.map((_, index) => `N${index}`),
            load: (name: string) => secret(texts[Number(name.slice(1))] ?? ''),
          }
          const text = exportVault(vault as never, 'env', { now: () => 0 } as never)
          expect(Object.values(read(text))).toEqual(texts)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('is read or refused, whatever it holds, and a refusal quotes nothing', () => {
    const piece = fc.constantFrom('A', 'B', '=', '"', "'", '`', '#', ' ', '\n', '\r', '\\', 'export ', 'hunter2')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        try {
          parseDotenv(pieces.join(''))
        } catch (error) {
          if (!(error instanceof VaultError)) throw error
          expect(error.message).toMatch(/^cannot read line \d+: /)
          expect(error.message).not.toContain('hunter2')
        }
      }),
      { numRuns: 5000 },
    )
  })

  it('of a megabyte in quotes, or of 100,000 lines, is read at once', () => {
    const long = "'\\''".repeat(250_000)
    expect(value(`'${long}'`)).toBe("'".repeat(250_000))
    expect(value(`"${'\\"x'.repeat(300_000)}"`)).toHaveLength(600_000)
    const many = Array.from({ length: 100_000 }, (_, index) => `N${index}="v${index}"\n`).join('')
    expect(parseDotenv(many)).toHaveLength(100_000)
  })
})
