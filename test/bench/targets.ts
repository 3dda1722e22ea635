/** The targets that performance.md sets, and whether the figures meet them. */
import { figureOf, type FigureName, type Sample } from "./figures.ts";
import type { PeerName, WorkName } from "./options.ts";
import { medianOf, ratioOf } from "./samples.ts";

export interface Target {
  readonly work: WorkName;
  /** Undefined for every one that the work has. */
  readonly load?: number;
  readonly figure: FigureName;
  /** The limit is of ours divided by this peer's, in the same round; without it, of ours. */
  readonly against?: PeerName;
  readonly limit: number;
  /** `most`: no more than the limit; `least`: no less. */
  readonly bound: "most" | "least";
}

export const targets: readonly Target[] = [
  { work: "http1-63B", load: 32, figure: "cpuMicros", against: "nginx", bound: "most", limit: 0.85 },
  { work: "http1-63B", load: 1, figure: "p50Micros", against: "nginx", bound: "most", limit: 1.4 },
  { work: "http1-63B", load: 1, figure: "p99Micros", against: "nginx", bound: "most", limit: 2 },
  { work: "http1-1MiB", figure: "megabytesPerCpuSecond", against: "nginx", bound: "least", limit: 0.7 },
  { work: "grpc-unary", figure: "cpuMicros", against: "envoy-h2", bound: "most", limit: 1 },
  { work: "grpc-unary", figure: "cpuMicros", against: "haproxy-h2", bound: "most", limit: 1.5 },
  { work: "memory", figure: "idleMegabytes", bound: "most", limit: 60 },
  { work: "memory", figure: "loadMegabytes", bound: "most", limit: 90 },
  { work: "sigv4-verify", figure: "operationMicros", bound: "most", limit: 10 },
  { work: "policy-decision", figure: "operationMicros", bound: "most", limit: 2 },
  { work: "start", figure: "readySeconds", bound: "most", limit: 1 },
];

export interface Verdict {
  readonly target: Target;
  /** NaN where there is no figure. */
  readonly value: number;
  /** Undefined where it was not measured. */
  readonly met: boolean | undefined;
}

/** Of every target that the work has at that load. `samples` are the work's. */
export function verdictsOn(work: WorkName, load: number, samples: readonly Sample[]): Verdict[] {
  return targets
    .filter((target) => target.work === work && (target.load === undefined || target.load === load))
    .map((target) => {
      const { figure, against, bound, limit } = target;
      const value = against === undefined ? medianOf(samples, "countersign", load, figure) : ratioOf(samples, against, load, figure);
      const met = Number.isNaN(value) ? undefined : bound === "most" ? value <= limit : value >= limit;
      return { target, value, met };
    });
}

/** `CPU µs/request 0.80, at most 0.85 × nginx: met` */
export function verdictText({ target, value, met }: Verdict): string {
  const { figure, against, bound, limit } = target;
  const { title, digits } = figureOf(figure);
  const shown = met === undefined ? "" : ` ${value.toFixed(against === undefined ? digits : 2)},`;
  const outcome = met === undefined ? "not measured" : met ? "met" : "MISSED";
  return `${title}${shown} at ${bound} ${limit}${against === undefined ? "" : ` × ${against}`}: ${outcome}`;
}
