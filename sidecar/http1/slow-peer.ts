/**
 * Finds the peer of an HTTP/1.1 connection that takes too long over a head (slowloris) or stands still in a body.
 *
 * It does not know how long an answer may take, nor how long a connection may lie idle between messages: that is for the owner.
 */
import { createProgressWatch, type ProgressWatch, type Schedule } from "../progress-watch.ts";

export interface SlowPeerOptions {
  /** How long a whole head may take, for a server from the accepted connection on, ms; 0 for any time. */
  readonly headTimeout: number;
  /** How long a body may stand still, ms; 0 for any time. */
  readonly bodyTimeout: number;
  readonly schedule: Schedule;
  /** The owner does not read just now, so that the peer cannot be blamed. Call `touch` when it reads again. */
  readonly isPaused: () => boolean;
  /** Found between the time-out and twice as much after it began; at most once of each. A server answers 408 and closes. */
  readonly onLate: (what: "head" | "body") => void;
}

/** Of a request or response parser. `touch`: when the connection is accepted, and behind every `push`. */
export function watchSlowPeer(parser: { readonly headMark: number; readonly bodyMark: number }, options: SlowPeerOptions): ProgressWatch {
  const { headTimeout, bodyTimeout, schedule, isPaused, onLate } = options;
  const awaited = (mark: number): number => (isPaused() ? 0 : mark);
  const head = createProgressWatch({ limit: headTimeout, schedule, mark: () => awaited(parser.headMark), onLate: () => onLate("head") });
  const body = createProgressWatch({ limit: bodyTimeout, schedule, mark: () => awaited(parser.bodyMark), onLate: () => onLate("body") });
  return {
    touch() {
      head.touch();
      body.touch();
    },
    cancel() {
      head.cancel();
      body.cancel();
    },
  };
}
