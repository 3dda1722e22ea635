/** A row of performance.md, as the benchmark runs it: what the peers are given to do, and what is read off them. */
import type { FigureName, Sample, Values } from "./figures.ts";
import type { PeerName, WorkName } from "./options.ts";
import type { Peer, PairPlan } from "./peers/peer.ts";
import type { Place, Site } from "./site.ts";

interface Described {
  /** Name in `--json` and of `--only`. */
  readonly name: WorkName;
  /** Heads its table. */
  readonly title: string;
  readonly figures: readonly FigureName[];
}

export interface Run {
  readonly load: number;
  readonly round: number;
  readonly seconds: number;
}

/** Peers in turn, round by round, so that whatever else the machine does falls on all of them alike. */
export interface ComparedWork extends Described {
  readonly kind: "compared";
  readonly peers: readonly PeerName[];
  /** What the numbers of `loads` are, as a column's head; its name in `--json`. */
  readonly loadTitle: string;
  readonly loadKey: string;
  readonly loads: readonly number[];
  readonly plan: PairPlan;
  /** Writes what the load generator reads, before any peer is started. */
  prepare?(site: Site): Promise<void>;
  /** Keeps the peer as busy as it will be, for about that long. Throws BenchError. */
  warm(peer: Peer, load: number, seconds: number, site: Site): Promise<void>;
  /** One run. Throws BenchError. */
  measure(peer: Peer, run: Run, site: Site): Promise<Values>;
  /** What only follows from runs of several peers. */
  finish?(samples: readonly Sample[]): readonly Sample[];
}

/** Ours alone. */
export interface OwnWork extends Described {
  readonly kind: "own";
  /** One round. Throws BenchError. */
  measure(place: Place): Promise<Values>;
}

export type Work = ComparedWork | OwnWork;
