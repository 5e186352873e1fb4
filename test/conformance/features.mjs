/**
 * What the official conformance suite asks of a server under test, as one MCP server: its scenarios name these tools,
 * resources and prompts (`conformance list --server`, package @modelcontextprotocol/conformance).
 */
import {
  acceptedContent,
  completable,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
  McpServer,
  MissingRequiredClientCapabilityError,
  ResourceTemplate,
} from '@modelcontextprotocol/server'
import { z } from 'zod'

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA='

// One key for all instances: a request's state may come back to another instance than the one that made it.
const states = createRequestStateCodec({ key: new Uint8Array(32).fill(7), ttlSeconds: 600 })

const text = (value) => ({ content: [{ type: 'text', text: value }] })
const pause = () => new Promise((resolve) => setTimeout(resolve, 50))

/** Makes a server instance; a session of the older protocol has one, a request of the newer. */
export function createFeatures() {
  const server = new McpServer(
    { name: 'conformance-upstream', version: '1.0.0' },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        logging: {},
        completions: {},
      },
      requestState: { verify: states.verify },
    },
  )
  addContentTools(server)
  addTalkingTools(server)
  addRoundTripTools(server)
  addResources(server)
  addPrompts(server)
  const subscribed = () => ({})
  server.server.setRequestHandler('resources/subscribe', subscribed)
  server.server.setRequestHandler('resources/unsubscribe', subscribed)
  server.server.setRequestHandler('logging/setLevel', subscribed)
  return server
}

function addContentTools(server) {
  const add = (name, content) => server.registerTool(name, { description: `Gives ${name}.` }, () => ({ content }))
  const resource = (uri, mimeType, body) => ({ type: 'resource', resource: { uri, mimeType, text: body } })
  const image = { type: 'image', data: PNG, mimeType: 'image/png' }
  add('test_simple_text', [{ type: 'text', text: 'This is a simple text response for testing.' }])
  add('test_image_content', [image])
  add('test_audio_content', [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }])
  add('test_embedded_resource', [
    resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'),
  ])
  add('test_multiple_content_types', [
    { type: 'text', text: 'Multiple content types test:' },
    image,
    resource('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'),
  ])
  server.registerTool('test_error_handling', { description: 'Fails.' }, () => {
    throw new Error('This tool intentionally returns an error for testing')
  })
  const region = { type: 'string', 'x-mcp-header': 'Region' }
  const inputSchema = fromJsonSchema({ type: 'object', properties: { region }, required: ['region'] })
  server.registerTool('test_header', { description: 'Takes an argument that a header repeats.', inputSchema }, () =>
    text('ok'),
  )
  const address = {
    $anchor: 'addressDef',
    type: 'object',
    properties: { street: { type: 'string' }, city: { type: 'string' } },
  }
  server.registerTool(
    'json_schema_2020_12_tool',
    {
      description: 'Tool with JSON Schema 2020-12 features',
      inputSchema: fromJsonSchema({
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        $defs: { address },
        properties: {
          name: { type: 'string' },
          address: { $ref: '#/$defs/address' },
          contactMethod: { type: 'string', enum: ['phone', 'email'] },
          phone: { type: 'string' },
          email: { type: 'string' },
        },
        allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
        if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { required: ['phone'] },
        else: { required: ['email'] },
        additionalProperties: false,
      }),
    },
    () => text('ok'),
  )
}

/** Tools that talk to the client while they run: the older protocol's way. */
function addTalkingTools(server) {
  const empty = z.object({})
  server.registerTool('test_tool_with_logging', { description: 'Logs.', inputSchema: empty }, async (_args, ctx) => {
    for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
      await ctx.mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } })
      await pause()
    }
    return text('logged')
  })
  server.registerTool(
    'test_tool_with_progress',
    { description: 'Reports.', inputSchema: empty },
    async (_args, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken
      for (const progress of [0, 50, 100]) {
        const params = { progressToken, progress, total: 100 }
        if (progressToken !== undefined) await ctx.mcpReq.notify({ method: 'notifications/progress', params })
        await pause()
      }
      return text(`done ${progressToken}`)
    },
  )
  server.registerTool(
    'test_sampling',
    { description: 'Asks the model.', inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, ctx) => {
      const messages = [{ role: 'user', content: { type: 'text', text: prompt } }]
      const answer = await ctx.mcpReq.requestSampling({ messages, maxTokens: 100 })
      return text(`LLM response: ${answer.content.text}`)
    },
  )
  server.registerTool(
    'test_logging_tool',
    { description: 'Logs if asked.', inputSchema: empty },
    async (_args, ctx) => {
      await ctx.mcpReq.log('info', 'running')
      return text('logged if asked')
    },
  )
  const ask = async (ctx, message, properties, required) => {
    const requestedSchema = { type: 'object', properties, required }
    const { action, content } = await ctx.mcpReq.elicitInput({ message, requestedSchema })
    return `action=${action}, content=${JSON.stringify(content ?? {})}`
  }
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user.', inputSchema: z.object({ message: z.string() }) },
    async ({ message }, ctx) => {
      const field = (description) => ({ type: 'string', description })
      const fields = { username: field("User's response"), email: field("User's email address") }
      return text(`User response: ${await ask(ctx, message, fields, ['username', 'email'])}`)
    },
  )
  const defaults = {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  }
  const options = ['option1', 'option2', 'option3']
  const titled = (title) => [1, 2, 3].map((number) => ({ const: `value${number}`, title: `${title} ${number}` }))
  const enums = {
    untitledSingle: { type: 'string', enum: options },
    titledSingle: { type: 'string', oneOf: titled('Option') },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
    untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
    titledMulti: { type: 'array', items: { anyOf: titled('Choice') } },
  }
  for (const [name, fields] of Object.entries({ sep1034_defaults: defaults, sep1330_enums: enums })) {
    const description = `Asks the user with ${name}.`
    server.registerTool(`test_elicitation_${name}`, { description, inputSchema: empty }, async (_args, ctx) =>
      text(`Elicitation completed: ${await ask(ctx, 'Please choose', fields, [])}`),
    )
  }
}

const formOf = (message, name, type) =>
  inputRequired.elicit({
    message,
    requestedSchema: { type: 'object', properties: { [name]: { type } }, required: [name] },
  })
const sampling = (question, maxTokens) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: question } }], maxTokens })

/** Tools that answer with a question first: the newer protocol's way. */
function addRoundTripTools(server) {
  const capabilities = (ctx) => ctx.mcpReq.envelope?.['io.modelcontextprotocol/clientCapabilities'] ?? {}
  server.registerTool('test_missing_capability', { description: 'Needs a model.' }, (ctx) => {
    if (capabilities(ctx).sampling !== undefined) return text('ok')
    throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } })
  })
  server.registerTool('test_streaming_elicitation', { description: 'Asks on its stream.' }, () =>
    inputRequired({ inputRequests: { user_name: formOf('What is your name?', 'name', 'string') } }),
  )
  const add = (name, run) =>
    server.registerTool(`test_input_required_result_${name}`, { description: `Asks: ${name}.` }, run)
  add('elicitation', (ctx) => {
    const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_name', z.object({ name: z.string() }))
    if (answer !== undefined) return text(`Hello, ${answer.name}!`)
    return inputRequired({ inputRequests: { user_name: formOf('What is your name?', 'name', 'string') } })
  })
  add('sampling', (ctx) => {
    const answer = ctx.mcpReq.inputResponses?.capital_question
    if (answer !== undefined) return text(JSON.stringify(answer.content))
    return inputRequired({ inputRequests: { capital_question: sampling('What is the capital of France?', 100) } })
  })
  add('list_roots', (ctx) => {
    const answer = ctx.mcpReq.inputResponses?.client_roots
    if (answer !== undefined) return text(JSON.stringify(answer.roots))
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
  })
  const confirming = async (ctx) => {
    const state = ctx.mcpReq.requestState()
    if (state?.asked === 'confirm' && ctx.mcpReq.inputResponses?.confirm !== undefined) return text('state-ok')
    return inputRequired({
      inputRequests: { confirm: formOf('Please confirm', 'ok', 'boolean') },
      requestState: await states.mint({ asked: 'confirm' }),
    })
  }
  add('request_state', confirming)
  add('tampered_state', confirming)
  add('multiple_inputs', async (ctx) => {
    const { user_name, greeting, client_roots } = ctx.mcpReq.inputResponses ?? {}
    if (user_name !== undefined && greeting !== undefined && client_roots !== undefined) return text('all given')
    return inputRequired({
      inputRequests: {
        user_name: formOf('What is your name?', 'name', 'string'),
        greeting: sampling('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await states.mint({ asked: 'all' }),
    })
  })
  add('multi_round', async (ctx) => {
    const { step1, step2 } = ctx.mcpReq.inputResponses ?? {}
    const round = ctx.mcpReq.requestState()?.round ?? 0
    if (round === 2 && step2 !== undefined) return text('all rounds done')
    if (round === 1 && step1 !== undefined) {
      return inputRequired({
        inputRequests: { step2: formOf('Step 2: What is your favorite color?', 'color', 'string') },
        requestState: await states.mint({ round: 2 }),
      })
    }
    return inputRequired({
      inputRequests: { step1: formOf('Step 1: What is your name?', 'name', 'string') },
      requestState: await states.mint({ round: 1 }),
    })
  })
  add('capabilities', (ctx) => {
    const { elicitation, sampling: canSample } = capabilities(ctx)
    const inputRequests = {
      ...(elicitation === undefined ? {} : { user_name: formOf('What is your name?', 'name', 'string') }),
      ...(canSample === undefined ? {} : { greeting: sampling('Generate a greeting', 50) }),
    }
    return Object.keys(inputRequests).length === 0 ? text('nothing can be asked') : inputRequired({ inputRequests })
  })
}

function addResources(server) {
  const add = (name, mimeType, body) => {
    const uri = `test://${name}`
    const read = () => ({ contents: [{ uri, mimeType, ...body }] })
    server.registerResource(name, uri, { description: `The resource ${name}.`, mimeType }, read)
  }
  add('static-text', 'text/plain', { text: 'This is the content of the static text resource.' })
  add('static-binary', 'image/png', { blob: PNG })
  add('watched-resource', 'text/plain', { text: 'Watched resource content' })
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined })
  const mimeType = 'application/json'
  server.registerResource('template', template, { description: 'A template.', mimeType }, (uri, { id }) => {
    const body = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` })
    return { contents: [{ uri: uri.href, mimeType, text: body }] }
  })
}

function addPrompts(server) {
  const user = (content) => ({ role: 'user', content })
  const say = (words) => user({ type: 'text', text: words })
  const add = (name, argsSchema, run) =>
    server.registerPrompt(name, { description: `The prompt ${name}.`, ...(argsSchema && { argsSchema }) }, run)
  add('test_simple_prompt', undefined, () => ({ messages: [say('This is a simple prompt for testing.')] }))
  const suggested = completable(z.string(), (value) =>
    ['paris', 'park', 'party'].filter((word) => word.startsWith(value)),
  )
  add('test_prompt_with_arguments', z.object({ arg1: suggested, arg2: z.string() }), ({ arg1, arg2 }) => ({
    messages: [say(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)],
  }))
  add('test_prompt_with_embedded_resource', z.object({ resourceUri: z.string() }), ({ resourceUri: uri }) => {
    const resource = { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' }
    return { messages: [user({ type: 'resource', resource }), say('Please process the embedded resource above.')] }
  })
  add('test_prompt_with_image', undefined, () => ({
    messages: [user({ type: 'image', data: PNG, mimeType: 'image/png' }), say('Please analyze the image above.')],
  }))
  add('test_input_required_result_prompt', undefined, (ctx) => {
    const answer = acceptedContent(ctx.mcpReq.inputResponses, 'user_context', z.object({ context: z.string() }))
    if (answer !== undefined) return { messages: [say(`Context: ${answer.context}`)] }
    const user_context = formOf('What context should the prompt use?', 'context', 'string')
    return inputRequired({ inputRequests: { user_context } })
  })
}
