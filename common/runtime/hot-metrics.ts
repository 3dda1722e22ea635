/**
 * Counters and histograms for hot paths: an observation is an addition to an array, and what Prometheus reads is put
 * together when it asks. prom-client's own would look labels up and copy them at every call; these stand in its registry
 * beside them.
 */
import type { Metric, Registry } from "prom-client";

type Labels = Readonly<Record<string, string>>;

export interface HotCounter {
  inc(): void;
}

export interface HotHistogram {
  /** In the unit of the buckets. */
  observe(value: number): void;
}

interface Definition {
  readonly name: string;
  readonly help: string;
  readonly registry: Registry;
}

interface Value {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly metricName?: string;
}

/** What prom-client's registry asks of a metric. */
function register({ name, help, registry }: Definition, type: "counter" | "histogram", values: () => Value[], reset: () => void): void {
  const get = () => Promise.resolve({ name, help, type, values: values(), aggregator: "sum" as const });
  registry.registerMetric({ name, help, get, reset } as unknown as Metric);
}

/** A counter with labels; the child of a label set is to be kept by who counts. */
export function createHotCounter(definition: Definition): (labels: Labels) => HotCounter {
  const children: { readonly labels: Labels; count: number }[] = [];
  register(
    definition,
    "counter",
    () => children.map(({ labels, count }) => ({ labels, value: count })),
    () => {
      for (const child of children) child.count = 0;
    },
  );
  return (labels) => {
    const child = { labels, count: 0 };
    children.push(child);
    return {
      inc() {
        child.count++;
      },
    };
  };
}

/** A histogram with labels and rising bucket bounds; the child of a label set is to be kept by who observes. */
export function createHotHistogram(definition: Definition & { readonly buckets: readonly number[] }): (labels: Labels) => HotHistogram {
  const { name } = definition;
  const bounds = Float64Array.from(definition.buckets);
  const children: { readonly labels: Labels; readonly counts: Float64Array; sum: number }[] = [];

  function valuesOf({ labels, counts, sum }: (typeof children)[number]): Value[] {
    const values: Value[] = [];
    let total = 0;
    for (const [index, bound] of bounds.entries()) {
      total += counts[index] ?? 0;
      values.push({ labels: { le: bound, ...labels }, value: total, metricName: `${name}_bucket` });
    }
    total += counts[bounds.length] ?? 0;
    values.push({ labels: { le: "+Inf", ...labels }, value: total, metricName: `${name}_bucket` });
    values.push({ labels, value: sum, metricName: `${name}_sum` });
    values.push({ labels, value: total, metricName: `${name}_count` });
    return values;
  }

  register(
    definition,
    "histogram",
    () => children.flatMap(valuesOf),
    () => {
      for (const child of children) {
        child.counts.fill(0);
        child.sum = 0;
      }
    },
  );
  return (labels) => {
    const counts = new Float64Array(bounds.length + 1);
    const child = { labels, counts, sum: 0 };
    children.push(child);
    return {
      observe(value) {
        let index = 0;
        while (index < bounds.length && value > bounds[index]!) index++;
        counts[index]!++;
        child.sum += value;
      },
    };
  };
}
