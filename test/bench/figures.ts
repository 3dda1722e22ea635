/** What is measured: every figure by its name in `--json`, and how it is shown. */
import type { PeerName } from "./options.ts";

export interface Figure {
  /** Heads its column. */
  readonly title: string;
  readonly digits: number;
  /** Name in `--json` of ours divided by a peer's, where that says something. */
  readonly ratio?: string;
}

export const figures = {
  cpuMicros: { title: "CPU µs/request", digits: 1, ratio: "cpuRatio" },
  perSecond: { title: "requests/s", digits: 0 },
  p50Micros: { title: "p50 µs", digits: 0, ratio: "p50Ratio" },
  p99Micros: { title: "p99 µs", digits: 0, ratio: "p99Ratio" },
  p999Micros: { title: "p99.9 µs", digits: 0, ratio: "p999Ratio" },
  addedP50Micros: { title: "+p50 µs", digits: 0 },
  addedP99Micros: { title: "+p99 µs", digits: 0 },
  addedP999Micros: { title: "+p99.9 µs", digits: 0 },
  megabytesPerCpuSecond: { title: "MB/CPU s", digits: 0, ratio: "bytesRatio" },
  callerHandshakesPerCpuSecond: { title: "handshakes/CPU s, caller", digits: 0, ratio: "callerRatio" },
  receiverHandshakesPerCpuSecond: { title: "handshakes/CPU s, receiver", digits: 0, ratio: "receiverRatio" },
  idleMegabytes: { title: "RSS MB idle", digits: 0 },
  idleProportionalMegabytes: { title: "PSS MB idle", digits: 0 },
  loadMegabytes: { title: "RSS MB at rate", digits: 0 },
  loadProportionalMegabytes: { title: "PSS MB at rate", digits: 0 },
  afterMegabytes: { title: "RSS MB after", digits: 0 },
  afterProportionalMegabytes: { title: "PSS MB after", digits: 0 },
  readySeconds: { title: "s to ready", digits: 2 },
  operationMicros: { title: "p50 µs/operation", digits: 2 },
  certificatesPerCpuSecond: { title: "certificates/CPU s", digits: 0 },
} as const satisfies Record<string, Figure>;

export type FigureName = keyof typeof figures;

/** Only what the peer has: no CPU where there is no proxy. */
export type Values = Readonly<Partial<Record<FigureName, number>>>;

/** One run of one peer. */
export interface Sample {
  readonly peer: PeerName;
  /** Connections, calls at once or requests a second, as the work says; 0 where it has none. */
  readonly load: number;
  readonly round: number;
  readonly values: Values;
}

/** The widest type of `figures[name]`. */
export function figureOf(name: FigureName): Figure {
  return figures[name];
}
