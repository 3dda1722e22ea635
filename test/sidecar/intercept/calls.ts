/** Connections made inside of a namespace by a program that knows nothing of meshes, and what answered each of them. */
import type { Credentials, Host } from "../../mesh/namespaces.ts";
import type { Answer } from "./answering.ts";

const client = `
import json, socket, sys
for target in sys.argv[1:]:
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), 5) as connection:
            print(connection.makefile().readline().strip() or '{"error": "closed"}')
    except OSError as error:
        print(json.dumps({"error": type(error).__name__}))
`;

export type Outcome = Answer | { readonly error: string };

/** Connects to each of `targets`, `host:port`, one after the other. */
export async function call(host: Host, targets: readonly string[], as?: Credentials): Promise<readonly Outcome[]> {
  const { status, stdout, stderr } = await host.run(["python3", "-c", client, ...targets], as === undefined ? {} : { as });
  if (status !== 0) throw new Error(`the client ended with ${status}: ${stderr}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome);
}
