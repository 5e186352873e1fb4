/**
 * An MCP server with the official SDK whose tools are reached by mcpvault's tokens, each call with a key from the vault.
 *
 *   MCP_ENCRYPTION_KEY=… node examples/mcp-server.mjs mcp_credentials.enc
 *   claude mcp add --transport http guarded http://127.0.0.1:PORT --header "Authorization: Bearer $TOKEN"
 *
 * The SDK refuses requests without a token that lives; every call is then judged on its own, arguments and budgets included.
 */
import { createServer } from 'node:http'
import {
  createMcpHandler,
  McpServer,
  OAuthError,
  OAuthErrorCode,
  requireBearerAuth,
} from '@modelcontextprotocol/server'
import { toNodeHandler } from '@modelcontextprotocol/node'
import { openVaultFile } from 'mcpvault'
import { z } from 'zod'

const vault = openVaultFile(process.argv[2] ?? 'mcp_credentials.enc', { key: process.env.MCP_ENCRYPTION_KEY })

function makeServer() {
  const server = new McpServer({ name: 'guarded', version: '1.0.0' })
  server.registerTool(
    'web_search',
    { description: 'Searches the web.', inputSchema: z.object({ query: z.string() }) },
    async (args, ctx) => {
      const verdict = await vault.acceptCall(ctx.http?.authInfo?.token, { tool: 'web_search', args })
      if (!verdict.allowed) {
        console.error(`refused: ${verdict.reason}`)
        return { isError: true, content: [{ type: 'text', text: 'Unauthorized or expired token' }] }
      }
      // The value lives for this call alone: copy it out of `use` only for as long as the call needs it.
      const text = vault.load('scavio_api_key').use((apiKey) => callUpstream(args.query, apiKey))
      return { content: [{ type: 'text', text }] }
    },
  )
  return server
}

/** Where a real server would call its upstream with the key. */
function callUpstream(query, apiKey) {
  return `searched for ${query} with a key of ${apiKey.length > 0 ? 'its own' : 'nobody'}`
}

const invalidToken = (message) => new OAuthError(OAuthErrorCode.InvalidToken, message)
// Every call goes through acceptCall above, so tokens with limits of their own may pass here.
const verifier = vault.createTokenVerifier({ invalidToken, acceptsCalls: true })
const gate = requireBearerAuth({ verifier })
const handler = createMcpHandler(makeServer)

const listener = toNodeHandler({
  fetch: async (request) => {
    const auth = await gate(request)
    return auth instanceof Response ? auth : handler.fetch(request, { authInfo: auth })
  },
})
const http = createServer(listener)
http.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${http.address().port}`))
