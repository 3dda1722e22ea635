/**
 * `npm run bench`: what a pair of sidecars costs, beside the same application behind other pairs of mTLS proxies.
 *
 * Progress goes to standard error and the tables to standard output. Everything listens on loopback, lives in a temporary
 * folder and is ended and removed whatever happens. Exits 1 if any figure could not be had.
 */
import { mkdir, mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "./certificates.ts";
import { residentBytes } from "./cpu.ts";
import { BenchError } from "./errors.ts";
import { checkTools, machine, versions } from "./machine.ts";
import { measureAll } from "./measure.ts";
import { help, optionsFrom, type Options, type PeerName } from "./options.ts";
import { startCountersignPair } from "./peers/countersign.ts";
import { directPeer } from "./peers/direct.ts";
import { startHaproxyPair } from "./peers/haproxy.ts";
import { startApp, startNginxPair } from "./peers/nginx.ts";
import { freePorts, type Peer, type Site } from "./peers/peer.ts";
import { createProcesses } from "./processes.ts";
import { comparisonRows, formatColumns, formatTable } from "./report.ts";

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

const starters: Record<PeerName, (site: Site, options: Options) => Peer | Promise<Peer>> = {
  direct: directPeer,
  nginx: startNginxPair,
  "haproxy-h1": (site) => startHaproxyPair(site, "h1"),
  "haproxy-h2": (site) => startHaproxyPair(site, "h2"),
  countersign: (site, options) => startCountersignPair(site, options.profile),
};

/** Resident megabytes by process. */
function memoryOf(peers: readonly Peer[]): Map<string, string> {
  const proxies = peers.flatMap((peer) => peer.proxies).filter((proxy) => !proxy.ended.aborted);
  return new Map(proxies.map((proxy) => [proxy.name, (residentBytes(proxy.pid) / 1e6).toFixed(0)]));
}

/** Throws BenchError `bad-option` now rather than after minutes of measuring, if `path` cannot be written. */
async function prepareFile(path: string): Promise<void> {
  try {
    await writeFile(path, "", { flag: "a" });
  } catch (cause) {
    throw new BenchError("bad-option", `--json: ${(cause as Error).message}`, { cause });
  }
}

/** Resolves to the exit code. */
async function bench(options: Options, signal: AbortSignal): Promise<number> {
  const before = machine();
  const used = await versions(options.peers);
  if (options.json !== undefined) await prepareFile(options.json);
  if (options.profile !== undefined) await mkdir(options.profile, { recursive: true });
  await using temporary = await mkdtempDisposable(join(tmpdir(), "countersign-bench-"));
  await using processes = createProcesses(signal);
  const [appPort = 0] = await freePorts(1);
  const certificates = await makeCertificates(temporary.path, signal);
  const site: Site = { folder: temporary.path, appPort, certificates, processes, signal };
  await startApp(site);
  const peers: Peer[] = [];
  for (const name of options.peers) {
    progress(`starting ${name}`);
    peers.push(await starters[name](site, options));
  }

  const idle = memoryOf(peers);
  const { runs, failures } = await measureAll(peers, options, progress, signal);
  const after = memoryOf(peers);

  const made = Object.entries(used).map(([name, version]) => `${name} ${version}`);
  process.stdout.write(`\n${before.cores} × ${before.cpu}, load ${before.load.toFixed(1)} before; ${made.join(", ")}\n`);
  process.stdout.write(`Medians of ${options.rounds} rounds of ${options.seconds} s; CPU of both proxies; 63-byte responses\n\n`);
  process.stdout.write(`${formatTable(options.peers, options.connections, runs, failures)}\n`);
  const memory = [...idle].map(([name, megabytes]) => [name, megabytes, after.get(name) ?? "ended"]);
  process.stdout.write(formatColumns(1, [["resident memory, MB", "idle", "after load"], ...memory]));
  for (const [key, reason] of failures) process.stdout.write(`\nFAILED ${key.replace("/", " at ")} connections: ${reason}\n`);
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify({ rows: comparisonRows(runs), machine: before, versions: used }, undefined, 2)}\n`);
  }
  return failures.size === 0 ? 0 : 1;
}

/** Resolves to the exit code; what went wrong is one line on standard error. */
async function main(args: readonly string[]): Promise<number> {
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => interrupted.abort());
  try {
    const options = optionsFrom(args);
    if (options === "help") {
      process.stdout.write(help);
      return 0;
    }
    checkTools(options.peers);
    return await bench(options, interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      progress("interrupted");
      return 130;
    }
    if (!(error instanceof BenchError)) throw error;
    progress(`bench: ${error.message}`);
    return 1;
  }
}

process.exitCode = await main(process.argv.slice(2));
