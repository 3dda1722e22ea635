/**
 * The recent decisions, for whoever asks why: every denial, and of the allowed calls the share that the mesh samples.
 * A ring, so that a storm of denials costs no memory; each is also a line of the log.
 */
import { randomBytes } from "node:crypto";

export interface DecisionRecord {
  readonly id: string;
  /** Epoch milliseconds. */
  readonly at: number;
  readonly decision: "allow" | "deny" | "would-deny";
  readonly reason: string;
  /** For the operator only. */
  readonly detail: string;
  readonly service: string;
  readonly method: string;
  readonly path: string;
  readonly action: string;
  readonly resource: string;
  /** Session ARN, or empty. */
  readonly principal: string;
  /** SPIFFE id of the TLS peer. */
  readonly peer: string;
  readonly statement: { readonly policy: string; readonly sid: string | undefined; readonly index: number } | undefined;
  readonly evaluated: number;
  readonly policyRevision: number;
  /** `instance:n` of the calling sidecar; joins this record with the caller's. */
  readonly sequence: string;
  readonly status: number;
  /** Time spent in the application and in this sidecar, microseconds. */
  readonly applicationMicros: number;
  readonly sidecarMicros: number;
}

export interface Decisions {
  add(record: DecisionRecord): void;
  find(id: string): DecisionRecord | undefined;
  /** Newest last. */
  recent(): DecisionRecord[];
}

export function createDecisionId(): string {
  return `d-${randomBytes(9).toString("base64url")}`;
}

export function createDecisions(capacity: number, onRecord: (record: DecisionRecord) => void): Decisions {
  const ring: DecisionRecord[] = [];
  let next = 0;
  return {
    add(record) {
      ring[next] = record;
      next = (next + 1) % capacity;
      onRecord(record);
    },
    find: (id) => ring.find((record) => record.id === id),
    recent: () => [...ring.slice(next), ...ring.slice(0, next)],
  };
}
