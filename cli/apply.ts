/** `countersign apply` */
import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { readResources } from "../common/resources/read.ts";
import { connectAdmin } from "./admin-client.ts";
import { adminSocket } from "./admin-socket.ts";

export async function apply(options: { file: string[]; socket?: string; dryRun?: true; json?: true }): Promise<void> {
  const resources = [];
  // Read whole before anything is sent: a mistake in the last file leaves the mesh as it is.
  for (const file of options.file) {
    resources.push(...readResources(file === "-" ? await text(process.stdin) : await readFile(file, "utf8"), file));
  }
  const admin = connectAdmin(adminSocket(options.socket));
  try {
    const { results, revision } = await admin.apply(
      resources.map((resource) => JSON.stringify(resource)),
      options.dryRun === true,
    );
    if (options.json) {
      process.stdout.write(`${JSON.stringify({ results, revision, dryRun: options.dryRun === true })}\n`);
      return;
    }
    for (const { kind, namespace, name, outcome } of results) {
      process.stdout.write(`${kind} ${namespace}/${name} ${outcome}${options.dryRun ? " (dry run)" : ""}\n`);
    }
  } finally {
    admin.close();
  }
}
