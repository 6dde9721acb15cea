// The smallest agent there is: the TypeScript SDK's client between a model and a server, nothing added.
// node sdk_client.mjs NODE_MODULES MODEL_URL COMMAND [ARGUMENT…]
import { pathToFileURL } from "node:url";

const [modules, model, command, ...args] = process.argv.slice(2);
const sdk = (file) => import(pathToFileURL(`${modules}/@modelcontextprotocol/sdk/dist/esm/client/${file}`).href);
const { Client } = await sdk("index.js");
const { StdioClientTransport } = await sdk("stdio.js");

const client = new Client({ name: "sdk", version: "1" });
await client.connect(new StdioClientTransport({ command, args, env: process.env }));
const { tools: listed } = await client.listTools(); // from here on the client holds results against their outputSchema
const tools = listed.map(({ name, description, inputSchema }) => ({
  type: "function",
  function: { name, description, parameters: inputSchema },
}));

async function resultOf({ name, arguments: given }) {
  try {
    const { content } = await client.callTool({ name, arguments: JSON.parse(given) });
    return content.map((block) => block.text ?? JSON.stringify(block)).join("\n");
  } catch (error) {
    return error.message;
  }
}

const messages = [{ role: "user", content: "go" }];
for (;;) {
  const reply = await fetch(`${model}/chat/completions`, { method: "POST", body: JSON.stringify({ messages, tools }) });
  const { message } = (await reply.json()).choices[0];
  messages.push(message);
  if (!message.tool_calls) break;
  for (const { id, function: call } of message.tool_calls) {
    messages.push({ role: "tool", tool_call_id: id, content: await resultOf(call) });
  }
}
await client.close();
