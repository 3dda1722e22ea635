/**
 * Carries one work out: starts what it needs, warms it, measures round by round, and ends everything. What fails is left out
 * with its reason, and the rest goes on.
 */
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startApplication } from "./application.ts";
import { makeCertificates } from "./certificates.ts";
import { BenchError } from "./errors.ts";
import { figureOf, type Sample, type Values } from "./figures.ts";
import type { PeerName } from "./options.ts";
import { proxiesOf, type Peer } from "./peers/peer.ts";
import { startPeer } from "./peers/start.ts";
import { createProcesses } from "./processes.ts";
import type { Place, Site } from "./site.ts";
import type { ComparedWork, OwnWork, Work } from "./work.ts";

export interface Outcome {
  readonly work: Work;
  /** The work's, as far as they were asked for. */
  readonly peers: readonly PeerName[];
  /** Of what did not fail. */
  readonly samples: readonly Sample[];
  /** Why there is no figure, by `failureKey`. */
  readonly failures: ReadonlyMap<string, string>;
}

export function failureKey(peer: PeerName, load: number): string {
  return `${peer}/${load}`;
}

export interface RunOptions {
  readonly peers: readonly PeerName[];
  readonly rounds: number;
  readonly seconds: number;
  readonly profile: string | undefined;
  readonly progress: (line: string) => void;
  readonly signal: AbortSignal;
}

/** A just-in-time compiler compiles what runs often in steps, and has taken the last of them after about that long under load. */
const firstWarmSeconds = 8;
/** For each further load. */
const warmSeconds = 1;

export async function runWork(work: Work, options: RunOptions): Promise<Outcome> {
  const { signal } = options;
  await using folder = await mkdtempDisposable(join(tmpdir(), "countersign-bench-"));
  await using processes = createProcesses(signal);
  const place: Place = { folder: folder.path, profile: options.profile, workName: work.name, processes, signal };
  if (work.kind === "own") return await runOwn(work, place, options);
  const certificates = await makeCertificates(folder.path, signal);
  const application = await startApplication(folder.path, processes, signal);
  return await runCompared(work, { ...place, certificates, application }, options);
}

async function runOwn(work: OwnWork, place: Place, { rounds, progress, signal }: RunOptions): Promise<Outcome> {
  const samples: Sample[] = [];
  const failures = new Map<string, string>();
  for (let round = 1; round <= rounds && failures.size === 0; round++) {
    try {
      const values = await work.measure(place);
      samples.push({ peer: "countersign", load: 0, round, values });
      progress(`${work.name}, round ${round}/${rounds}: ${shown(values)}`);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BenchError)) throw error;
      failures.set(failureKey("countersign", 0), error.message);
      progress(`${work.name}: FAILED: ${error.message}`);
    }
  }
  return { work, peers: ["countersign"], samples: failures.size > 0 ? [] : samples, failures };
}

async function runCompared(work: ComparedWork, site: Site, options: RunOptions): Promise<Outcome> {
  const { progress, signal } = options;
  const names = work.peers.filter((name) => options.peers.includes(name));
  const samples: Sample[] = [];
  const failures = new Map<string, string>();
  const fail = (peer: PeerName, load: number, reason: string) => {
    failures.set(failureKey(peer, load), reason);
    progress(`${work.name} at ${load} ${work.loadTitle}: FAILED: ${peer}: ${reason}`);
  };
  const attempt = async (peer: Peer, load: number, step: () => Promise<void>) => {
    if (failures.has(failureKey(peer.name, load))) return;
    try {
      await step();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BenchError)) throw error;
      const died = proxiesOf(peer).find((proxy) => proxy.ended.aborted);
      fail(peer.name, load, died === undefined ? error.message : (died.ended.reason as BenchError).message);
    }
  };

  await work.prepare?.(site);
  const peers: Peer[] = [];
  for (const name of names) {
    progress(`${work.name}: starting ${name}`);
    try {
      peers.push(await startPeer(name, site, work.plan));
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof BenchError)) throw error;
      for (const load of work.loads) fail(name, load, error.message);
    }
  }
  const [first = 0] = work.loads;
  for (const peer of peers) {
    progress(`${work.name}: warming ${peer.name}`);
    await attempt(peer, first, () => work.warm(peer, first, firstWarmSeconds, site));
  }
  for (const load of work.loads) {
    if (load !== first) for (const peer of peers) await attempt(peer, load, () => work.warm(peer, load, warmSeconds, site));
    for (let round = 1; round <= options.rounds; round++) {
      for (const peer of peers) {
        await attempt(peer, load, async () => {
          const values = await work.measure(peer, { load, round, seconds: options.seconds }, site);
          samples.push({ peer: peer.name, load, round, values });
          progress(`${work.name} at ${load} ${work.loadTitle}, round ${round}/${options.rounds}, ${peer.name}: ${shown(values)}`);
        });
      }
    }
  }
  const whole = samples.filter((sample) => !failures.has(failureKey(sample.peer, sample.load)));
  return { work, peers: names, samples: work.finish?.(whole) ?? whole, failures };
}

function shown(values: Values): string {
  return Object.entries(values)
    .map(([name, value]) => {
      const { title, digits } = figureOf(name as keyof Values);
      return `${title} ${value.toFixed(digits)}`;
    })
    .join(", ");
}
