/**
 * Time-outs of calls. A timer of Node's for each call would cost more than signing it; here all calls with the same time-out
 * stand in one list, which is in order of time by itself, and one timer waits for its head.
 *
 * Hot path: starting and stopping is linking and unlinking an entry, which is a part of the call itself. The timer is set when
 * it fires, not when calls come and go: about once a time-out.
 */
import type { Clock } from "../../../common/runtime/clock.ts";

/** What has a time-out; the fields are this module's, and begin as `undefined` and 0. */
export interface Timed {
  timedBefore: Timed | undefined;
  timedAfter: Timed | undefined;
  /** Monotonic ms. */
  deadline: number;
}

export interface Deadlines<T extends Timed> {
  /**
   * `now` is monotonic ms. An entry stands in one list at a time, and only once. One that starts at an earlier time than others
   * did before it expires with them: late by as much.
   */
  start(entry: T, timeoutMs: number, now: number): void;
  /** Nothing happens where it has expired or was never started. */
  stop(entry: T): void;
}

export interface DeadlineOptions<T extends Timed> {
  /** Ms of a clock that never goes back. */
  readonly monotonic: () => number;
  readonly schedule: Clock["schedule"];
  /** Called once for each entry that was not stopped in time; it stands in no list then. */
  readonly onExpired: (entry: T) => void;
}

interface List {
  /** Before the first and behind the last. */
  readonly end: Timed;
  armed: boolean;
}

export function createDeadlines<T extends Timed>({ monotonic, schedule, onExpired }: DeadlineOptions<T>): Deadlines<T> {
  const lists = new Map<number, List>();

  function listFor(timeoutMs: number): List {
    let list = lists.get(timeoutMs);
    if (!list) {
      const end: Timed = { timedBefore: undefined, timedAfter: undefined, deadline: 0 };
      end.timedBefore = end;
      end.timedAfter = end;
      list = { end, armed: false };
      lists.set(timeoutMs, list);
    }
    return list;
  }

  function arm(list: List, timeoutMs: number, now: number): void {
    const first = list.end.timedAfter!;
    if (first === list.end) {
      // A time-out that is not used any more, because a setting changed, leaves nothing behind.
      lists.delete(timeoutMs);
      return;
    }
    list.armed = true;
    schedule(Math.max(1, Math.ceil(first.deadline - now)), () => {
      list.armed = false;
      expire(list);
      if (!list.armed) arm(list, timeoutMs, monotonic());
    });
  }

  function expire(list: List): void {
    const now = monotonic();
    for (let first = list.end.timedAfter!; first !== list.end && first.deadline <= now; first = list.end.timedAfter!) {
      unlink(first);
      onExpired(first as T);
    }
  }

  return {
    start(entry, timeoutMs, now) {
      const list = listFor(timeoutMs);
      const last = list.end.timedBefore!;
      entry.deadline = now + timeoutMs;
      entry.timedBefore = last;
      entry.timedAfter = list.end;
      last.timedAfter = entry;
      list.end.timedBefore = entry;
      if (!list.armed) arm(list, timeoutMs, now);
    },
    stop(entry) {
      if (entry.timedAfter !== undefined) unlink(entry);
    },
  };
}

function unlink(entry: Timed): void {
  entry.timedBefore!.timedAfter = entry.timedAfter;
  entry.timedAfter!.timedBefore = entry.timedBefore;
  entry.timedBefore = undefined;
  entry.timedAfter = undefined;
}
