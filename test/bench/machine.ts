/** What the figures were measured on and with, and whether all of it is there. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import manifest from "../../package.json" with { type: "json" };
import { BenchError } from "./errors.ts";
import type { Options } from "./options.ts";

const packages = new Map([
  ["nginx", "nginx-light"],
  ["h2load", "nghttp2-client"],
]);

// Debian keeps servers where the PATH of an ordinary user does not look.
process.env["PATH"] = `${process.env["PATH"] ?? ""}:/usr/sbin`;

/** Whether it is on the PATH, or where Debian keeps servers. */
export function isInstalled(tool: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, tool)));
}

type Asked = Pick<Options, "works" | "peers">;

/** The programs that such a run uses: nginx is the application, openssl makes the certificates. */
function toolsFor({ works, peers }: Asked): string[] {
  const own = ["start", "sigv4-verify", "policy-decision", "certificates"];
  const compared = works.filter((work) => !own.includes(work));
  if (compared.length === 0) return [];
  const tools = ["nginx", "openssl"];
  if (compared.some((work) => /^(?:http1|latency)-/.test(work))) tools.push("wrk");
  if (compared.includes("grpc-unary")) tools.push("h2load");
  for (const tool of ["haproxy", "envoy"]) if (peers.some((peer) => peer.startsWith(tool))) tools.push(tool);
  return tools;
}

/** Throws BenchError `missing-tool` naming every Debian package to install, in one line. */
export function checkTools(asked: Asked): void {
  if (!existsSync("/proc/self/stat")) throw new BenchError("missing-tool", "CPU time is read from /proc, which only Linux has");
  const missing = toolsFor(asked).filter((tool) => !isInstalled(tool));
  if (missing.length === 0) return;
  if (missing.includes("envoy")) throw new BenchError("missing-tool", "envoy is not on the PATH, and Debian has no package of it");
  const names = missing.map((tool) => packages.get(tool) ?? tool).join(" ");
  throw new BenchError("missing-tool", `${missing.join(", ")} not found; install with: apt-get install --no-install-recommends ${names}`);
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  /** Processes that wanted a core over the last minute, before the benchmark began. */
  readonly load: number;
}

export function machine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    load: loadavg()[0] ?? 0,
  };
}

async function versionOf(tool: string, argument: string): Promise<string> {
  // wrk tells its version together with its usage, and exits with 1.
  const run = promisify(execFile)(tool, [argument]);
  const said = await run.catch((error: unknown) => error as { stdout: string; stderr: string });
  return /\d+\.\d+(\.\d+)*[\w.+~-]*/.exec(`${said.stdout}${said.stderr}`)?.[0] ?? "unknown";
}

const versionFlags = new Map([
  ["openssl", "version"],
  ["envoy", "--version"],
  ["h2load", "--version"],
]);

/** Version of each program that is part of such a run. */
export async function versions(asked: Asked): Promise<Record<string, string>> {
  const found: Record<string, string> = { countersign: manifest.version, node: process.versions.node };
  for (const tool of toolsFor(asked)) found[tool] = await versionOf(tool, versionFlags.get(tool) ?? "-v");
  return found;
}
