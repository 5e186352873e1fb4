/** The name that a token has to allow. */
export const SEARCH_TOOL = 'web_search'
/** How many results are asked for unless told. */
export const DEFAULT_RESULTS = 5
/** The most results that can be asked for. */
export const MOST_RESULTS = 20

/**
 * What MCP clients are told about the built-in tool, as `tools/list` has it. Tokens can be pinned to it: another word here
 * voids them.
 */
export const SEARCH_DEFINITION = {
  name: SEARCH_TOOL,
  description: 'Searches the web and returns titles, URLs and snippets.',
  inputSchema: {
    type: 'object',
    properties: {
      query: { type: 'string', description: 'what to search for' },
      num_results: {
        type: 'integer',
        description: 'how many results',
        minimum: 1,
        maximum: MOST_RESULTS,
        default: DEFAULT_RESULTS,
      },
    },
    required: ['query'],
    additionalProperties: false,
  },
} as const

/** The digest of {@link SEARCH_DEFINITION}, as `digestTool` computes it. */
export const SEARCH_DIGEST = 'sha256:0906492f1be2ebd8c92cff877e67306b11b164bd4d3af3d2b49b3d9e8169b6c2'
