import { expect, it } from 'vitest'
import { parseConfig } from '../../src/gateway/config.js'

it.each([
  ['', '{"mcpServers":{"a":{"command":"c"}},"__proto__":{}}'],
  ['mcpServers: ', '{"mcpServers":{"a":{"command":"c"},"__proto__":{"url":"https://a.example/"}}}'],
  ['mcpServers.a: ', '{"mcpServers":{"a":{"command":"c","__proto__":{}}}}'],
  ['mcpServers.a.env: ', '{"mcpServers":{"a":{"command":"c","env":{"__proto__":"v"}}}}'],
  ['mcpServers.a.headers: ', '{"mcpServers":{"a":{"url":"https://a.example/","headers":{"\\u005f_proto__":"v"}}}}'],
])('a member named __proto__ is an error and is not passed over (%j)', (at, text) => {
  expect(() => parseConfig(text, 'mcpvault.json', () => true)).toThrow(
    `cannot use "mcpvault.json": ${at}there is no member "__proto__"`,
  )
})
