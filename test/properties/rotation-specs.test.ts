import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VaultError } from '../../src/errors.js'
import {
  formatHook,
  formatProbe,
  formatProvider,
  formatTarget,
  type HookSpec,
  type ProbeSpec,
  type ProviderSpec,
  parseHook,
  parseProbe,
  parseProvider,
  parseTarget,
  pointerPath,
  type TargetSpec,
} from '../../src/rotation/spec.js'

const word = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'))
const argv: fc.Arbitrary<HookSpec> = fc
  .tuple(
    word.filter((text) => text !== ''),
    fc.array(word, { maxLength: 4 }),
  )
  .map(([program, rest]) => [program, ...rest])
const file = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((text) => !/[\0\r\n]|#\/|\/$/.test(text))
const pointer = fc
  .array(
    word.filter((text) => !/[\r\n]/.test(text)),
    { minLength: 1, maxLength: 4 },
  )
  .map((names) => names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join(''))

const provider: fc.Arbitrary<ProviderSpec> = fc.oneof(
  fc.constant({ kind: 'manual' as const }),
  fc.integer({ min: 16, max: 4096 }).map((length) => ({ kind: 'generate' as const, length })),
  argv.map((words) => ({ kind: 'command' as const, argv: words })),
)
const probe: fc.Arbitrary<ProbeSpec> = fc.oneof(
  fc.constant({ kind: 'scavio' as const }),
  argv.map((words) => ({ kind: 'command' as const, argv: words })),
  file.map((name) => ({ kind: 'http' as const, file: name })),
)
const target: fc.Arbitrary<TargetSpec> = fc.oneof(
  fc.record({ kind: fc.constant('json' as const), file, pointer }),
  fc.record({ kind: fc.constant('env' as const), file, name: fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,9}$/) }),
  file.map((name) => ({ kind: 'file' as const, file: name })),
)

const anyText = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .tuple(
      fc.constantFrom('manual', 'generate', 'command', 'scavio', 'http', 'json', 'env', 'file'),
      fc.constantFrom('', ':', ':[', ':@', ':["a"', ':a#/', ':a#', '#'),
      fc.string({ unit: 'grapheme' }),
    )
    .map((parts) => parts.join('')),
)

describe('specs of a rotation', () => {
  it('are read back from what was written', () => {
    const check = <T>(arbitrary: fc.Arbitrary<T>, parse: (text: string) => T, format: (spec: T) => string) =>
      fc.assert(
        fc.property(arbitrary, (spec) => {
          expect(parse(format(spec))).toEqual(spec)
        }),
      )
    check(provider, parseProvider, formatProvider)
    check(probe, parseProbe, formatProbe)
    check(target, parseTarget, formatTarget)
    check(argv, parseHook, formatHook)
  })

  it('are refused as a usage error or have one canonical spelling, whatever the text', () => {
    const check = <T>(parse: (text: string) => T, format: (spec: T) => string) =>
      fc.assert(
        fc.property(anyText, (text) => {
          let spec: T
          try {
            spec = parse(text)
          } catch (error) {
            expect(error).toBeInstanceOf(VaultError)
            expect((error as VaultError).code).toBe('USAGE')
            return
          }
          expect(parse(format(spec))).toEqual(spec)
        }),
      )
    check(parseProvider, formatProvider)
    check(parseProbe, formatProbe)
    check(parseTarget, formatTarget)
    check(parseHook, formatHook)
  })

  it('cut a pointer into the names that it was made of', () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (names) => {
        const text = names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
        expect(pointerPath(text)).toEqual(names)
      }),
    )
  })
})
