/**
 * A tool server that checks scoped tokens and loads its key from the vault for each call, with mcpvault as a library.
 *
 *   MCP_ENCRYPTION_KEY=… node examples/guarded-server.mjs mcp_credentials.enc
 *   curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:PORT/tools/web_search
 *
 * A rotation or a revocation counts at the next request; nothing has to be restarted.
 */
import { createServer } from 'node:http'
import { openVaultFile } from 'mcpvault'

const vault = openVaultFile(process.argv[2] ?? 'mcp_credentials.enc', { key: process.env.MCP_ENCRYPTION_KEY })

const server = createServer(async (request, response) => {
  const tool = /^\/tools\/([\w-]+)$/.exec(request.url ?? '')?.[1]
  const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  try {
    // A real server would hand over the arguments too, and call with nothing else.
    const verdict = await vault.acceptCall(token, { tool: tool ?? '', args: {} })
    if (!verdict.allowed) {
      console.error(`refused: ${verdict.reason}`)
      response
        .writeHead(401, { 'www-authenticate': 'Bearer error="invalid_token"' })
        .end('Unauthorized or expired token\n')
      return
    }
    // The value lives for this call alone: `use` zeroes it when the function has returned.
    const answer = vault.load('scavio_api_key').use((apiKey) => callTool(tool, apiKey))
    response.end(`${answer}\n`)
  } catch (error) {
    console.error(error.code, error.message)
    response.writeHead(503).end('the vault cannot be read\n')
  }
})

/** Where a real server would call its upstream with the key. */
function callTool(tool, apiKey) {
  return `${tool} was called with a key of ${apiKey.length > 0 ? 'its own' : 'nobody'}`
}

server.listen(0, '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}`))
