/** For tests: the code of the BenchError that `work` throws, or `none`. */
import { BenchError } from "./errors.ts";

export function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof BenchError) return error.code;
    throw error;
  }
  return "none";
}
