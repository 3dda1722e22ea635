/** Connections made inside of a namespace by a program that knows nothing of meshes, and what answered each of them. */
import { join } from "node:path";
import { readableCheckout } from "../../mesh/checkout.ts";
import type { Credentials, Host } from "../../mesh/namespaces.ts";
import type { Answer } from "./answering.ts";

const node = () => join(readableCheckout(), "bin/node26");
const client = `
const { connect } = require("node:net");
const { text } = require("node:stream/consumers");
(async () => {
  for (const target of process.argv.slice(1)) {
    const [, host, port] = /^\\[?([^\\]]+?)\\]?:(\\d+)$/.exec(target);
    const answer = await text(connect({ host, port: Number(port), timeout: 5000 })).catch((error) => JSON.stringify({ error: error.code }) + "\\n");
    process.stdout.write(answer);
  }
})();
`;

export type Outcome = Answer | { readonly error: string };

/** The command line of answering.ts, for any user. */
export function answering(...servers: readonly string[]): readonly string[] {
  return [node(), join(readableCheckout(), "test/sidecar/intercept/answering.ts"), ...servers];
}

/** Connects to each of `targets`, `host:port`, one after the other. */
export async function call(host: Host, targets: readonly string[], as?: Credentials): Promise<readonly Outcome[]> {
  const { status, stdout, stderr } = await host.run([node(), "-e", client, ...targets], as === undefined ? {} : { as });
  if (status !== 0) throw new Error(`the client ended with ${status}: ${stderr}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome);
}
