/** Milliseconds of a clock that is the same in every thread, unlike `performance.now`. */
export function milliseconds(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
