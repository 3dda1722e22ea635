/** Candidates for tests: endpoints that are nothing but what the choice looks at. */
import { createCandidate, type Candidate } from "../../../../sidecar/outbound/traffic/candidate.ts";

export interface TestEndpoint {
  readonly name: string;
  inFlight: number;
  failingUntil: number;
}

export function candidate(name = "one", change: Partial<TestEndpoint> = {}): Candidate<TestEndpoint> {
  return createCandidate({ name, inFlight: 0, failingUntil: 0, ...change });
}

export function candidates(count: number): Candidate<TestEndpoint>[] {
  return Array.from({ length: count }, (_, index) => candidate(`endpoint${index}`));
}

/** Gives these numbers in turn, over and over. */
export function randomly(...numbers: readonly number[]): () => number {
  let index = 0;
  return () => numbers[index++ % numbers.length] ?? 0;
}
