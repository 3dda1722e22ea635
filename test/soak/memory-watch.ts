/** Memory of the sidecars that stay, over the time of the soak, and whether it was flat. */
import { memoryOf } from "../bench/memory.ts";
import { median, slope, type Point } from "../bench/statistics.ts";
import type { Sidecar } from "./mesh.ts";

export interface MemorySample {
  /** Seconds since the start. */
  readonly at: number;
  readonly residentMegabytes: number;
  readonly heapMegabytes: number;
}

export interface Trend {
  readonly sidecar: string;
  readonly figure: "resident" | "heap";
  /** By the straight line through what was measured after the warm-up, at its beginning and at its end. */
  readonly fromMegabytes: number;
  readonly toMegabytes: number;
  /** How much more than at the beginning is still flat. */
  readonly limitMegabytes: number;
  readonly flat: boolean;
}

/** V8 collects when it has to, which may be never in a minute: without this, what is held could not be told from what is not. */
export function collectGarbage({ running }: Sidecar): void {
  process.kill(running.pid, "SIGUSR2");
}

/** Reads one sidecar's now. Rejects when it does not answer. */
export async function sampleMemory(sidecar: Sidecar, at: number): Promise<MemorySample> {
  const response = await fetch(`http://${sidecar.metrics}/metrics`);
  const heap = /^nodejs_heap_size_used_bytes (\S+)$/m.exec(await response.text())?.[1];
  return {
    at,
    residentMegabytes: memoryOf(sidecar.running.pid).residentBytes / 1e6,
    heapMegabytes: Number(heap) / 1e6,
  };
}

/** In each of these the least heap counts, which is the one after a collection, and the middle of what is resident. */
export const windowSeconds = 5;

function windows(samples: readonly MemorySample[], read: (window: readonly MemorySample[]) => number): Point[] {
  const byWindow = Map.groupBy(samples, ({ at }) => Math.floor(at / windowSeconds));
  return [...byWindow].map(([index, window]) => ({ x: (index + 0.5) * windowSeconds, y: read(window) }));
}

/** Megabytes that each may grow by, however little there was of it. */
export interface Slack {
  readonly resident: number;
  readonly heap: number;
}

/** What is warm by `warmSeconds` may grow by a tenth, or by the slack where that is more. A leak goes on. */
export function trendsOf(sidecar: string, samples: readonly MemorySample[], warmSeconds: number, slack: Slack): Trend[] {
  const warm = samples.filter(({ at }) => at >= warmSeconds);
  const series = {
    resident: windows(warm, (window) => median(window.map(({ residentMegabytes }) => residentMegabytes))),
    heap: windows(warm, (window) => Math.min(...window.map(({ heapMegabytes }) => heapMegabytes))),
  };
  return (["resident", "heap"] as const).map((figure) => {
    const points = series[figure];
    const span = (points.at(-1)?.x ?? 0) - (points[0]?.x ?? 0);
    const growth = slope(points) * span;
    const middle = points.reduce((sum, { y }) => sum + y, 0) / points.length;
    const from = middle - growth / 2;
    const limitMegabytes = Math.max(slack[figure], from / 10);
    return { sidecar, figure, fromMegabytes: from, toMegabytes: from + growth, limitMegabytes, flat: growth <= limitMegabytes };
  });
}
