import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseToml } from '../../src/clients/toml.js'
import { VaultError } from '../../src/errors.js'
import { isSubsequence } from './text-support.js'

const CONFIG = [
  '# Codex',
  'model = "o4"  # keep',
  'big = 9007199254740993',
  '',
  '[mcp_servers.github]   # gh',
  'command = "npx"',
  'args = [ "-y",  # yes, "really"',
  "   'some-mcp' ]",
  '',
  '  [mcp_servers.github.env]',
  '  TOKEN   =   "t-1"  # from the web',
  "  OTHER = '''",
  "two lines'''",
  '# about the next',
  '[mcp_servers.inline]',
  'url="https://x"',
  'http_headers={ "Authorization"="Bearer x", "X-A" = \'b\' } # c',
  'tools.search.on = true',
  '',
].join('\n')

const GITHUB = ['mcp_servers', 'github'] as const
const INLINE = ['mcp_servers', 'inline'] as const

function failure(text: string): string {
  try {
    parseToml(text, 'config.toml')
  } catch (error) {
    if (error instanceof VaultError && error.code === 'INPUT') return error.message
    throw error
  }
  throw new Error('it was read')
}

describe('TOML', () => {
  it('is read', () => {
    const config = parseToml(CONFIG, 'config.toml')
    expect(config.get([...GITHUB, 'env'])).toEqual({ TOKEN: 't-1', OTHER: 'two lines' })
    expect(config.get([...GITHUB, 'args', 1])).toBe('some-mcp')
    expect(config.get(['big'])).toBe(9007199254740993n)
    expect(config.get([...INLINE, 'http_headers', 'X-A'])).toBe('b')
    expect(config.get([...INLINE, 'tools', 'search', 'on'])).toBe(true)
  })

  it('is refused with line and column, without a piece of it, when it is broken or ambiguous', () => {
    expect(failure('a = 1\nb = "s3cret\n')).toBe('cannot read "config.toml": it is broken TOML at 2:12')
    expect(failure('\uFEFFa = s3cret\n')).toMatch(/^cannot read "config.toml": it is broken TOML at 1:\d+$/)
    expect(failure('a = 1\na = 2\n')).toBe('cannot read "config.toml": a key stands twice, again at 2:1')
    expect(failure('[a]\nb=1\n[a]\nc=2\n')).toMatch(/^cannot read "config.toml": a key stands twice, again at 3:\d$/)
    expect(failure(`a = ${'['.repeat(20_000)}${']'.repeat(20_000)}`)).toBe(
      'cannot read "config.toml": it is nested deeper than 200 levels',
    )
  })

  it('is edited in place, whatever kind of table a key stands in', () => {
    const config = parseToml(CONFIG, 'config.toml')
    expect(config.set([...GITHUB, 'env', 'TOKEN'], 'a"\\\n').text).toBe(CONFIG.replace('"t-1"', '"a\\"\\\\\\n"'))
    expect(config.set([...INLINE, 'http_headers', 'X-A'], 'c').text).toBe(CONFIG.replace("'b'", "'c'"))
    expect(config.set([...INLINE, 'http_headers', 'X-A'], "c'").text).toBe(CONFIG.replace("'b'", '"c\'"'))
    expect(config.set([...GITHUB, 'env', 'NEW'], '1').text).toBe(
      CONFIG.replace("two lines'''", "two lines'''\n  NEW = \"1\""),
    )
    expect(config.set([...GITHUB, 'cwd'], '/').text).toBe(CONFIG.replace("'some-mcp' ]", '\'some-mcp\' ]\ncwd = "/"'))
    expect(config.set([...INLINE, 'http_headers', 'new one'], '1').text).toBe(
      CONFIG.replace("'b' }", '\'b\', "new one" = "1" }'),
    )
    expect(config.set([...INLINE, 'env_http_headers', 'A'], 'B').text).toBe(
      CONFIG.replace('on = true', 'on = true\nenv_http_headers = { A = "B" }'),
    )
    expect(config.set([...INLINE, 'tools', 'search', 'off'], false).text).toBe(
      CONFIG.replace('on = true', 'on = true\ntools.search.off = false'),
    )
    expect(config.set(['top'], 'x').text).toBe(CONFIG.replace('3\n', '3\ntop = "x"\n'))
    expect(config.insert([...GITHUB, 'args', 0], 'exec').text).toBe(
      CONFIG.replace('[ "-y",  # yes', '[ "exec",\n   "-y",  # yes'),
    )
  })

  it('loses rows and items, never comments', () => {
    const config = parseToml(CONFIG, 'config.toml')
    expect(config.remove([...GITHUB, 'env', 'TOKEN']).text).toBe(CONFIG.replace('TOKEN   =   "t-1"  # from', '# from'))
    expect(config.remove([...GITHUB, 'command']).text).toBe(CONFIG.replace('command = "npx"\n', ''))
    expect(config.remove([...INLINE, 'http_headers', 'Authorization']).text).toBe(
      CONFIG.replace('"Authorization"="Bearer x", ', ''),
    )
    expect(config.remove([...INLINE, 'http_headers', 'X-A']).text).toBe(CONFIG.replace(', "X-A" = \'b\'', ''))
    expect(config.remove(['model']).text).toBe(CONFIG.replace('model = "o4"  # keep', '# keep'))
  })

  it('says when a key has no place', () => {
    const config = parseToml(CONFIG, 'config.toml')
    expect(() => config.set(GITHUB, 'x')).toThrow('cannot edit "mcp_servers.github": a table stands there')
    expect(() => config.set(['model', 'x'], 'y')).toThrow('cannot edit "model.x": there is no table to put it into')
    expect(() => config.remove(['nope'])).toThrow('cannot edit "nope": no single value stands there')
  })

  it('keeps a byte order mark, the line ends of Windows and a missing last line end', () => {
    const text = '\uFEFFa = "1"\r\n[t]\r\nb = "2"'
    const config = parseToml(text, 'f')
    expect(config.set(['a'], 'x').text).toBe(text.replace('1', 'x'))
    expect(config.set(['t', 'c'], 'x').text).toBe(`${text}\r\nc = "x"`)
    expect(config.remove(['a']).text).toBe('\uFEFF[t]\r\nb = "2"')
    expect(parseToml('\uFEFF', 'f').set(['a'], 'x').text).toBe('\uFEFFa = "x"\n')
  })

  it('keeps every other byte, whatever the value', () => {
    const value = fc.string({ unit: 'grapheme' })
    const key = fc.oneof(
      fc.constantFrom('TOKEN', '__proto__', 'a b', ''),
      fc.string({ unit: 'grapheme', maxLength: 4 }),
    )
    const table = fc.constantFrom([...GITHUB], [...GITHUB, 'env'], [...INLINE], [...INLINE, 'http_headers'], [])
    fc.assert(
      fc.property(table, key, value, fc.boolean(), (parent, name, text, isWindows) => {
        const source = isWindows ? CONFIG.replaceAll('\n', '\r\n') : CONFIG
        const config = parseToml(source, 'f')
        const path = [...parent, name]
        const before = config.get(path)
        if (typeof before === 'object') return
        const edited = config.set(path, text)
        expect(edited.get(path)).toBe(text)
        if (before === undefined) {
          expect(isSubsequence(source, edited.text)).toBe(true)
          expect(edited.remove(path).text).toBe(source)
        }
      }),
      { numRuns: 60 },
    )
  })
})
