/** When an open loop sends: at times that do not depend on how fast it is answered. */

/** Mulberry32: the same numbers from 0 to 1 for the same seed, so that every peer gets the same load. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Milliseconds from the start, ascending, over `seconds`: independent callers together, which is a Poisson process. Regular
 * intervals would fall into step with whatever else is regular, timers above all.
 */
export function poissonArrivals(perSecond: number, seconds: number, seed: number): Float64Array {
  const random = createRandom(seed);
  const times: number[] = [];
  for (let at = 0; ;) {
    at -= Math.log(1 - random()) * (1000 / perSecond);
    if (at >= seconds * 1000) return Float64Array.from(times);
    times.push(at);
  }
}
