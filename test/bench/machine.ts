/** What the figures were measured on and with, and whether all of it is there. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import manifest from "../../package.json" with { type: "json" };
import { BenchError } from "./errors.ts";
import type { PeerName } from "./options.ts";

/** Always: wrk is the load, nginx the application, openssl makes the certificates. */
const toolsForAll = ["nginx", "wrk", "openssl"];
const packages = new Map([["nginx", "nginx-light"]]);

// Debian keeps servers where the PATH of an ordinary user does not look.
process.env["PATH"] = `${process.env["PATH"] ?? ""}:/usr/sbin`;

function isInstalled(tool: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, tool)));
}

/** Throws BenchError `missing-tool` naming every Debian package to install, in one line. */
export function checkTools(peers: readonly PeerName[]): void {
  if (!existsSync("/proc/self/stat")) throw new BenchError("missing-tool", "CPU time is read from /proc, which only Linux has");
  const wanted = peers.some((peer) => peer.startsWith("haproxy")) ? [...toolsForAll, "haproxy"] : toolsForAll;
  const missing = wanted.filter((tool) => !isInstalled(tool));
  if (missing.length === 0) return;
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

/** Version of each program that is part of a run with these peers. */
export async function versions(peers: readonly PeerName[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {
    countersign: manifest.version,
    node: process.versions.node,
    wrk: await versionOf("wrk", "-v"),
    nginx: await versionOf("nginx", "-v"),
    openssl: await versionOf("openssl", "version"),
  };
  if (peers.some((peer) => peer.startsWith("haproxy"))) found["haproxy"] = await versionOf("haproxy", "-v");
  return found;
}
