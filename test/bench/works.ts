/** The works in the order in which they run. */
import { churn } from "./works/churn.ts";
import { grpcUnary } from "./works/grpc-unary.ts";
import { http1Large } from "./works/http1-large.ts";
import { http1Small } from "./works/http1-small.ts";
import { latencyAt } from "./works/latency.ts";
import { createMemory } from "./works/memory.ts";
import { primitives } from "./works/primitives.ts";
import { createStart } from "./works/start.ts";
import type { Work } from "./work.ts";

/** `connections` are those of the small requests. */
export function worksOf(connections: readonly number[]): readonly Work[] {
  return [
    http1Small(connections),
    grpcUnary,
    http1Large,
    churn,
    latencyAt(1000),
    latencyAt(5000),
    createMemory(5000),
    createStart(),
    ...primitives,
  ];
}
