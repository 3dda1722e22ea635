/** `countersign get` */
import { stringify } from "yaml";
import { nearest } from "../common/runtime/environment.ts";
import { readResource } from "../common/resources/read.ts";
import { kinds, type Kind, type Resource } from "../common/resources/resource.ts";
import { connectAdmin } from "./admin-client.ts";
import { adminSocket } from "./admin-socket.ts";

export async function get(kindText: string, name: string, options: { namespace?: string; output: string; socket?: string }): Promise<void> {
  const kind = kindFromText(kindText);
  if (!["table", "yaml", "json"].includes(options.output)) throw new Error(`--output is table, yaml or json, not ${options.output}`);
  const admin = connectAdmin(adminSocket(options.socket));
  try {
    const response = await admin.get(kind, options.namespace ?? "", name);
    const resources = response.resources.map((text) => readResource(text, "control plane"));
    if (name !== "" && resources.length === 0) throw new Error(`there is no ${kind} named ${name}`);
    process.stdout.write(format(resources, options.output));
  } finally {
    admin.close();
  }
}

/** `services`, `Service` and `service` all mean Service. */
function kindFromText(text: string): Kind {
  const singular = text.toLowerCase().replace(/^(.*)ies$/, "$1y");
  const kind = kinds.find((each) => [each.toLowerCase(), `${each.toLowerCase()}s`, `${each.toLowerCase()}es`].includes(singular));
  if (kind) return kind;
  const near = nearest(
    singular,
    kinds.map((each) => each.toLowerCase()),
  );
  throw new Error(`${text} is no kind: ${kinds.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`);
}

function format(resources: readonly Resource[], output: string): string {
  if (output === "json") return `${JSON.stringify(resources, undefined, 2)}\n`;
  if (output === "yaml") return resources.map((resource) => stringify(resource)).join("---\n");
  if (resources.length === 0) return "none\n";
  const rows = [["NAMESPACE", "NAME", "KIND"], ...resources.map(({ kind, metadata }) => [metadata.namespace, metadata.name, kind])];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}
