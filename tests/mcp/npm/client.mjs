// The protocol's TypeScript client, unchanged, in front of the gateway. argv: node_modules, the era (legacy | auto), then
// either `http URL TOKEN` or `stdio COMMAND ARG…`. Each line of stdin is `["list"]` or `["call", NAME, ARGUMENTS]`; each
// line of stdout its answer.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [modules, mode, kind, ...words] = process.argv.slice(2);
const from = createRequire(modules + "/");
const { Client, StreamableHTTPClientTransport } = from("@modelcontextprotocol/client");
const { StdioClientTransport } = from("@modelcontextprotocol/client/stdio");

const transport =
  kind === "http"
    ? new StreamableHTTPClientTransport(new URL(words[0]), {
        requestInit: { headers: { Authorization: `Bearer ${words[1]}` } },
      })
    : new StdioClientTransport({ command: words[0], args: words.slice(1), env: process.env, stderr: "inherit" });
const client = new Client({ name: "ts", version: "1" }, { versionNegotiation: { mode } });
await client.connect(transport);
for await (const line of createInterface({ input: process.stdin })) {
  const [what, name, args] = JSON.parse(line);
  const told =
    what === "list" ? (await client.listTools()).tools.map((tool) => tool.name) : await client.callTool({ name, arguments: args });
  console.log(JSON.stringify(told));
}
await client.close();
