import { describe, expect, it } from 'vitest'
import { type Caveat, encodeCaveat, intersectCaveats, METHODS, parseCaveat } from '../../src/tokens/caveats.js'
import { isToolName } from '../../src/tokens/tool-name.js'

const DIGEST = `sha256:${'0f'.repeat(32)}`
const parse = (text: string): Caveat | undefined => parseCaveat(Buffer.from(text))

describe('parseCaveat', () => {
  it.each<[string, Caveat]>([
    ['{"methods":["tools"]}', { type: 'methods', methods: ['tools'] }],
    ['{"methods":["resources","metrics"]}', { type: 'methods', methods: ['resources', 'metrics'] }],
    ['{"tools":["web_search","github/get_issue"]}', { type: 'tools', tools: ['web_search', 'github/get_issue'] }],
    ['{"tools":["*"]}', { type: 'tools', tools: ['*'] }],
    ['{"tools":["github/*"]}', { type: 'tools', tools: ['github/*'] }],
    ['{"before":"2026-11-22T19:00:00Z"}', { type: 'before', epochMs: Date.UTC(2026, 10, 22, 19) }],
    [
      '{"args":[["web_search","num_results","<=",5],["web_search","query","prefix","site:"]]}',
      {
        type: 'args',
        rules: [
          ['web_search', 'num_results', '<=', 5],
          ['web_search', 'query', 'prefix', 'site:'],
        ],
      },
    ],
    [
      '{"args":[["a/b","x.y-z.$w","in",["e",1,true]]]}',
      { type: 'args', rules: [['a/b', 'x.y-z.$w', 'in', ['e', 1, true]]] },
    ],
    ['{"calls":[10,"AAAAAAAAAAA"]}', { type: 'calls', limit: 10, nonce: 'AAAAAAAAAAA' }],
    ['{"rate":"30/m"}', { type: 'rate', rate: { calls: 30, per: 'm' } }],
    ['{"rate":"1000000/h"}', { type: 'rate', rate: { calls: 1_000_000, per: 'h' } }],
    [
      `{"digest":{"github/get_issue":"sha256:${'0f'.repeat(32)}"}}`,
      { type: 'digest', digests: [['github/get_issue', DIGEST]] },
    ],
    [`{"digest":{"__proto__":"sha256:${'0f'.repeat(32)}"}}`, { type: 'digest', digests: [['__proto__', DIGEST]] }],
    ['{"calls":[1000000000,"__________8"]}', { type: 'calls', limit: 1e9, nonce: '__________8' }],
  ])('reads %s and writes it back the same', (text, caveat) => {
    expect(parse(text)).toEqual(caveat)
    expect(encodeCaveat(caveat).toString()).toBe(text)
  })

  it.each([
    '{"unheard_of":["tools"]}',
    '{"rate":"0/m"}',
    '{"rate":"030/m"}',
    '{"rate":"1000001/m"}',
    '{"rate":"30/d"}',
    '{"rate":"30/min"}',
    '{"rate":"30"}',
    '{"rate":"1.5/s"}',
    '{"rate":30}',
    '{"rate":["30/m"]}',
    '{"digest":{}}',
    '{"digest":[]}',
    '{"digest":"sha256:00"}',
    '{"digest":{"web_search":"sha256:00"}}',
    `{"digest":{"web_search":"sha256:${'0F'.repeat(32)}"}}`,
    `{"digest":{"web_search":"sha512:${'0f'.repeat(32)}"}}`,
    `{"digest":{"a b":"sha256:${'0f'.repeat(32)}"}}`,
    `{"digest":{"a":"sha256:${'00'.repeat(32)}","a":"sha256:${'0f'.repeat(32)}"}}`,
    `{"digest":{${Array.from({ length: 65 }, (_, at) => `"t${at}":"sha256:${'0f'.repeat(32)}"`).join(',')}}}`,
    '{"__proto__":["tools"]}',
    '{"constructor":["tools"]}',
    '{}',
    '{"tools":["a"],"before":"2026-11-22T19:00:00Z"}',
    '{"tools":["a"],"tools":["a"]}',
    '{"tools":["b"],"tools":["a"]}',
    '{"tools": ["a"]}',
    ' {"tools":["a"]}',
    '{"tools":["a"]}\n',
    '{"\\u0074ools":["a"]}',
    '{"tools":["\\u0061"]}',
    '{"Tools":["a"]}',
    '{"tools":[]}',
    '{"tools":"a"}',
    '{"tools":{"0":"a"}}',
    '{"tools":["a",1]}',
    '{"tools":[null]}',
    '{"tools":["a b"]}',
    '{"tools":["a,b"]}',
    '{"tools":["web_*"]}',
    '{"tools":["github/"]}',
    '{"tools":[""]}',
    '{"methods":["sampling"]}',
    '{"methods":["toString"]}',
    '{"methods":[]}',
    '{"methods":"tools"}',
    '{"before":"2026-11-22T19:00:00.000Z"}',
    '{"before":"2026-11-22T19:00:00+00:00"}',
    '{"before":"2026-11-22T19:00:00"}',
    '{"before":"2026-11-22 19:00:00Z"}',
    '{"before":"2026-11-22T19:00Z"}',
    '{"before":"2026-02-30T19:00:00Z"}',
    '{"before":"2026-11-22T24:00:00Z"}',
    '{"before":"1969-12-31T23:59:59Z"}',
    '{"before":1795374000}',
    '{"args":[]}',
    '{"args":["web_search","num_results","<=",5]}',
    '{"args":[["web_search","num_results","<="]]}',
    '{"args":[["web_search","num_results","<=",5,6]]}',
    '{"args":[["web_search","num_results","~",5]]}',
    '{"args":[["web_search","num_results","matches","a+"]]}',
    '{"args":[["web_search","num_results","toString",5]]}',
    '{"args":[["web_search","num_results","<=","5"]]}',
    '{"args":[["web_search","num_results","<=",true]]}',
    '{"args":[["web_search","num_results","<=",null]]}',
    '{"args":[["web_search","num_results","<=",-0]]}',
    '{"args":[["web_search","num_results","<=",5.0]]}',
    '{"args":[["web_search","num_results","<=",1e999]]}',
    '{"args":[["web_search","num_results","<=",9007199254740992]]}',
    '{"args":[["web_search","num_results","<=",9007199254740993]]}',
    '{"args":[["web_search","num_results","=",null]]}',
    '{"args":[["web_search","num_results","=",[5]]]}',
    '{"args":[["web_search","num_results","=",{"a":1}]]}',
    '{"args":[["web_search","num_results","in",[]]]}',
    '{"args":[["web_search","num_results","in",5]]}',
    '{"args":[["web_search","num_results","in",[[5]]]]}',
    `{"args":[["web_search","num_results","in",[${Array(65).fill(1)}]]]}`,
    '{"args":[["web_search","query","prefix",""]]}',
    '{"args":[["web_search","query","prefix",5]]}',
    `{"args":[["web_search","query","prefix","${'x'.repeat(1025)}"]]}`,
    '{"args":[["web_search","","=",5]]}',
    '{"args":[["web_search",".","=",5]]}',
    '{"args":[["web_search","a..b","=",5]]}',
    '{"args":[["web_search","a b","=",5]]}',
    '{"args":[["web_search","a[0]","=",5]]}',
    `{"args":[["web_search","${'x'.repeat(129)}","=",5]]}`,
    '{"args":[["*","num_results","<=",5]]}',
    '{"args":[["","num_results","<=",5]]}',
    '{"args":[[["web_search"],"num_results","<=",5]]}',
    `{"args":[${Array(33).fill('["a","b","=",1]')}]}`,
    '{"args":{"0":["a","b","=",1]}}',
    '{"calls":[0,"AAAAAAAAAAA"]}',
    '{"calls":[-1,"AAAAAAAAAAA"]}',
    '{"calls":[1.5,"AAAAAAAAAAA"]}',
    '{"calls":[1000000001,"AAAAAAAAAAA"]}',
    '{"calls":["10","AAAAAAAAAAA"]}',
    '{"calls":[10,"AAAAAAAAAAB"]}',
    '{"calls":[10,"AAAAAAAAAA"]}',
    '{"calls":[10,"AAAAAAAAAAA="]}',
    '{"calls":[10]}',
    '{"calls":[10,"AAAAAAAAAAA",1]}',
    '{"calls":10}',
    '["tools"]',
    '"tools"',
    'null',
    '1',
    '',
    'account = 3735928559',
  ])('refuses %s', (text) => {
    expect(parse(text)).toBeUndefined()
  })

  it('refuses bytes that are not UTF-8, also those that read as long as they are', () => {
    for (const odd of [[0xff], [0xf0, 0x90, 0x80], [0xed, 0xa0, 0x80], [0xc0, 0xaf]]) {
      for (const [before, behind] of [
        ['{"tools":["a', '"]}'],
        ['{"args":[["t","p","=","', '"]]}'],
      ] as const) {
        expect(
          parseCaveat(Buffer.concat([Buffer.from(before), Buffer.of(...odd), Buffer.from(behind)])),
        ).toBeUndefined()
      }
    }
  })
})

describe('isToolName', () => {
  it('takes printable names of up to 128 bytes, bare or behind an upstream', () => {
    for (const name of ['web_search', 'github/get_issue', 'a/b/c', 'x'.repeat(128), "it's", 'a.b-c:d']) {
      expect(isToolName(name)).toBe(true)
    }
  })

  it('refuses what no list on a command line could hold, patterns, and names with nothing in a part', () => {
    for (const name of [
      '',
      'a b',
      'a\tb',
      'a,b',
      '*',
      'a*',
      '/a',
      'a/',
      'a//b',
      'é',
      '\u202e',
      'x'.repeat(129),
      'a\n',
    ]) {
      expect(isToolName(name)).toBe(false)
    }
  })
})

describe('intersectCaveats', () => {
  it('leaves everything over when there are none', () => {
    expect(intersectCaveats([])).toEqual({
      methods: METHODS,
      tools: ['*'],
      beforeMs: undefined,
      rules: [],
      mostCalls: undefined,
      rates: [],
      digests: [],
    })
  })

  it('keeps what every caveat allows, and the earliest end', () => {
    const scope = intersectCaveats([
      { type: 'tools', tools: ['*'] },
      { type: 'before', epochMs: 2000 },
      { type: 'tools', tools: ['a', 'b', 'c'] },
      { type: 'methods', methods: ['tools', 'prompts'] },
      { type: 'tools', tools: ['c', 'b', 'd'] },
      { type: 'tools', tools: ['*'] },
      { type: 'before', epochMs: 1000 },
      { type: 'methods', methods: ['tools'] },
      { type: 'args', rules: [['a', 'x', '=', 1]] },
      { type: 'calls', limit: 7, nonce: 'AAAAAAAAAAA' },
      { type: 'args', rules: [['a', 'x', '=', 2]] },
      { type: 'calls', limit: 9, nonce: 'AAAAAAAAAAA' },
      { type: 'rate', rate: { calls: 9, per: 'm' } },
      { type: 'digest', digests: [['b', DIGEST]] },
    ])
    expect(scope).toEqual({
      methods: ['tools'],
      tools: ['b', 'c'],
      beforeMs: 1000,
      rules: [
        ['a', 'x', '=', 1],
        ['a', 'x', '=', 2],
      ],
      mostCalls: 7,
      rates: [{ calls: 9, per: 'm' }],
      digests: [['b', DIGEST]],
    })
  })

  it('can leave nothing over', () => {
    const caveats: Caveat[] = [
      { type: 'tools', tools: ['a'] },
      { type: 'tools', tools: ['b'] },
    ]
    expect(intersectCaveats(caveats).tools).toEqual([])
  })
})
