/** From single runs to medians and ratios. Ratios are of two runs of one round, which had the same machine to themselves. */
import type { FigureName, Sample } from "./figures.ts";
import type { PeerName } from "./options.ts";
import { median } from "./statistics.ts";

export function samplesOf(samples: readonly Sample[], peer: PeerName, load: number): Sample[] {
  return samples.filter((sample) => sample.peer === peer && sample.load === load);
}

/** NaN where the peer has no such figure. */
export function medianOf(samples: readonly Sample[], peer: PeerName, load: number, figure: FigureName): number {
  return median(samplesOf(samples, peer, load).flatMap(({ values }) => values[figure] ?? []));
}

/** Median over the rounds of `peer / against`; NaN where no round has the figure of both. */
export function medianRatio(samples: readonly Sample[], peer: PeerName, against: PeerName, load: number, figure: FigureName): number {
  const theirs = samplesOf(samples, against, load);
  const ratios = samplesOf(samples, peer, load).flatMap(({ round, values }) => {
    const own = values[figure];
    const their = theirs.find((sample) => sample.round === round)?.values[figure];
    return own === undefined || their === undefined ? [] : [own / their];
  });
  return median(ratios);
}

/** Ours against that peer's. */
export function ratioOf(samples: readonly Sample[], against: PeerName, load: number, figure: FigureName): number {
  return medianRatio(samples, "countersign", against, load, figure);
}
