/** nginx as everything here uses it. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Running } from "../processes.ts";
import type { Site } from "../site.ts";

/** One worker, no access log, connections that are never closed for their age or their count of requests. */
export async function startNginx(site: Pick<Site, "folder" | "processes">, name: string, http: string): Promise<Running> {
  const folder = join(site.folder, name);
  await mkdir(folder);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `  ${kind}_temp_path ${folder}/${kind};\n`);
  // Started by root, the worker would become a user to whom the folder is closed.
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  const configuration = `${user}daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
${temporary.join("")}${http}}
`;
  const file = join(folder, "nginx.conf");
  await writeFile(file, configuration);
  return site.processes.start(name, "nginx", ["-e", "stderr", "-p", folder, "-c", file]);
}
