/** One soak, from the start of its mesh to the verdict. */
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createProcesses } from "../bench/processes.ts";
import { startApplication } from "./application.ts";
import { createDisturber } from "./disturbances.ts";
import { createGateHistory } from "./gate-history.ts";
import type { GateDecision } from "./gate-judge.ts";
import { createGate } from "./lanes/gate.ts";
import { grpc } from "./lanes/grpc.ts";
import { large, post, small } from "./lanes/http.ts";
import { describe, type Lane } from "./lanes/lane.ts";
import { websocket } from "./lanes/websocket.ts";
import { collectGarbage, sampleMemory, trendsOf, windowSeconds, type MemorySample, type Slack } from "./memory-watch.ts";
import { startMesh, type Sidecar } from "./mesh.ts";
import type { Kind, SoakOptions } from "./options.ts";
import { progressLine, type Findings } from "./report.ts";
import { createTally } from "./tally.ts";

/** How many of each go on at once. */
const lanesOf: Readonly<Record<Kind, number>> = { small: 4, post: 2, large: 1, websocket: 2, grpc: 2, gate: 2 };

const progressMs = 10_000;
const lookMs = 1000;

/** Rejects when the mesh could not be started, or on `signal`; whatever happened later is in the findings. */
export async function runSoak(
  options: Pick<SoakOptions, "seconds" | "kinds">,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<Findings> {
  const now = () => performance.now();
  await using folder = await mkdtempDisposable(join(tmpdir(), "countersign-soak-"));
  await using application = await startApplication();
  await using processes = createProcesses(signal);
  const mesh = await startMesh(folder.path, processes, application, signal);

  const start = now();
  const secondsSince = () => (now() - start) / 1000;
  const tally = createTally(options.kinds, now);
  const history = createGateHistory();
  const gate = createGate(history, now);
  const lanes: Readonly<Record<Kind, Lane>> = { small, post, large, websocket, grpc, gate: gate.lane };
  const disturber = createDisturber(mesh, history, application.httpPort, now);
  const watched = [mesh.caller, mesh.receiver];
  const samples = new Map<Sidecar, MemorySample[]>(watched.map((sidecar) => [sidecar, []]));

  let failure: string | undefined;
  const findings = (): Findings => {
    const memory = watched.map((sidecar) => ({ sidecar: sidecar.name, samples: samples.get(sidecar) ?? [] }));
    return {
      seconds: secondsSince(),
      broken: failure,
      counts: tally.counts(),
      problems: tally.problems(),
      gateChecked: gate.checked(),
      renewals: mesh.renewals(),
      disturbances: disturber.counts(),
      memory,
      trends: memory.flatMap(({ sidecar, samples }) => trendsOf(sidecar, samples, options.seconds / 3, slackFor(options.seconds))),
    };
  };

  /** Decisions and memory, read off the sidecars. */
  async function look(): Promise<void> {
    for (const sidecar of mesh.receivers()) {
      // One that is being restarted does not answer, and nothing follows from that.
      const decisions = await readDecisions(sidecar).catch(() => []);
      for (const what of gate.check(decisions)) tally.wrong("gate", what);
    }
    for (const [sidecar, list] of samples) list.push(await sampleMemory(sidecar, secondsSince()));
  }

  const ended = new AbortController();
  const died = AbortSignal.any(watched.map(({ running }) => running.ended));
  const stop = AbortSignal.any([signal, died, ended.signal]);
  const breakOff = (what: string) => (error: unknown) => {
    failure ??= `${what} after ${secondsSince().toFixed(0)} s: ${describe(error)}`;
    ended.abort();
  };
  const timer = setTimeout(() => ended.abort(), options.seconds * 1000);
  const report = setInterval(() => progress(progressLine(findings())), progressMs);
  try {
    const context = { outbound: mesh.caller.outbound, tally };
    const running = options.kinds.flatMap((kind) => Array.from({ length: lanesOf[kind] }, () => lanes[kind](context, stop)));
    const looking = (async () => {
      let collectedAt = 0;
      while (!stop.aborted) {
        if (secondsSince() - collectedAt >= windowSeconds / 2) {
          collectedAt = secondsSince();
          for (const sidecar of watched) collectGarbage(sidecar);
        }
        await look();
        await delay(lookMs, undefined, { signal: stop }).catch(() => undefined);
      }
    })();
    await Promise.all([
      ...running,
      looking.catch(breakOff("a sidecar was not to be looked at")),
      disturber.run(stop).catch(breakOff("the mesh did not come back")),
    ]);
    signal.throwIfAborted();
    if (died.aborted) breakOff("a sidecar ended")(died.reason);
    else await look();
  } finally {
    clearTimeout(timer);
    clearInterval(report);
  }
  return findings();
}

async function readDecisions({ admin }: Sidecar): Promise<GateDecision[]> {
  const response = await fetch(`http://${admin}/decisions`);
  return (await response.json()) as GateDecision[];
}

/** A short soak ends before compiled code, caches and the collector's reserves have their full size. */
function slackFor(seconds: number): Slack {
  return seconds < 300 ? { resident: 80, heap: 20 } : { resident: 15, heap: 5 };
}
