/** Every call that was begun, and what became of it. */
import type { Kind } from "./options.ts";

export interface KindCount {
  readonly begun: number;
  readonly right: number;
  /** No answer, or not the application's. */
  readonly lost: number;
  /** Answered, and not as it should have been. */
  readonly wrong: number;
}

/** What went wrong in the same way, but for numbers, counts as one. */
export interface Problem {
  readonly kind: Kind;
  readonly outcome: "lost" | "wrong";
  readonly count: number;
  /** Seconds since the start, of the first and the last. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Of the first. */
  readonly what: string;
}

export interface Tally {
  begin(kind: Kind): void;
  right(kind: Kind): void;
  lost(kind: Kind, what: string): void;
  wrong(kind: Kind, what: string): void;
  counts(): ReadonlyMap<Kind, KindCount>;
  /** So many different ones at the most; the counts have all. */
  problems(): readonly Problem[];
}

const keptProblems = 50;

/** `now` in milliseconds. */
export function createTally(kinds: readonly Kind[], now: () => number): Tally {
  const start = now();
  const counts = new Map(kinds.map((kind) => [kind, { begun: 0, right: 0, lost: 0, wrong: 0 }]));
  const problems = new Map<string, Problem>();

  function add(kind: Kind, outcome: keyof KindCount): void {
    const count = counts.get(kind);
    if (count === undefined) throw new TypeError(`${kind} was not to be counted`);
    count[outcome]++;
  }

  function fail(kind: Kind, outcome: "lost" | "wrong", what: string): void {
    add(kind, outcome);
    const key = `${kind} ${outcome} ${what.replaceAll(/\d+/g, "0")}`;
    const at = Math.round((now() - start) / 100) / 10;
    const known = problems.get(key);
    if (known !== undefined) problems.set(key, { ...known, count: known.count + 1, lastAt: at });
    else if (problems.size < keptProblems) problems.set(key, { kind, outcome, count: 1, firstAt: at, lastAt: at, what });
  }

  return {
    begin: (kind) => add(kind, "begun"),
    right: (kind) => add(kind, "right"),
    lost: (kind, what) => fail(kind, "lost", what),
    wrong: (kind, what) => fail(kind, "wrong", what),
    counts: () => counts,
    problems: () => [...problems.values()],
  };
}
