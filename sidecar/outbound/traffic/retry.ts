/**
 * Which calls may be made again. Nothing of an answer may have been seen; what certainly reached nobody may go again whatever
 * it is, what may have been carried out only where doing it twice is doing it once, and the body is at hand to be sent again.
 * Each try is signed anew, for the endpoint it goes to.
 */

/**
 * How a try ended:
 * - `connect`: there was no connection, so nothing was sent;
 * - `refused`: the peer did nothing for it (REFUSED_STREAM or GOAWAY, RFC 9113 section 8.7), or had no room for a stream;
 * - `lost`: the stream or its connection ended under way, or the peer's application broke off;
 * - `rejected`: the peer's sidecar turned it away before its application knew of it, and another may not;
 * - `timeout`: its time is spent, and another try would have none.
 */
export type TryFailure = "connect" | "refused" | "lost" | "rejected" | "timeout";

export interface Retryable {
  readonly method: string;
  /** Something of an answer has gone to the application. */
  readonly answered: boolean;
  /** The request's body (or that it has none) is at hand from its first byte to its last. */
  readonly bodyWhole: boolean;
  /** Some of a body that is not whole has been given away. */
  readonly bodySent: boolean;
}

/** RFC 9110 section 9.2.2. */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** What each kind of failure leaves open. */
const afterwards: Readonly<Record<TryFailure, "unsent" | "undone" | "perhaps-done" | "spent">> = {
  connect: "unsent",
  refused: "unsent",
  lost: "perhaps-done",
  rejected: "undone",
  timeout: "spent",
};

/** Whether trying again could do no harm; whether it would do good is for the attempts and the budget to say. */
export function mayRetry(failure: TryFailure, call: Retryable): boolean {
  if (call.answered) return false;
  const left = afterwards[failure];
  if (left === "unsent") return call.bodyWhole || !call.bodySent;
  if (left === "undone") return call.bodyWhole;
  return left === "perhaps-done" && call.bodyWhole && idempotent.has(call.method);
}
