/** The end of a command that could not do its work: what is wrong on stderr, and a status other than 0. */
import { ResourceError } from "../common/resources/error.ts";
import { ConfigError } from "../common/runtime/environment.ts";

/** Prints one clear line (one a problem, for errors that list several) and ends the process with status 1. */
export function fail(error: unknown): never {
  for (const line of linesOf(error)) process.stderr.write(`countersign: ${line}\n`);
  process.exit(1);
}

/** Ends the process when nobody reads its output any more, as programs in a pipe do. */
export function endWithReader(): void {
  process.stdout.once("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    fail(error);
  });
}

function linesOf(error: unknown): string[] {
  if (error instanceof ResourceError || error instanceof ConfigError) return error.message.split("\n");
  if (!(error instanceof Error)) return [String(error)];
  // The outermost sentence says what failed, the innermost why; what is said already is not said twice.
  let text = error.message;
  for (let { cause } = error; cause instanceof Error; { cause } = cause) {
    if (!text.includes(cause.message) && !cause.message.includes(error.message)) text += `: ${cause.message}`;
  }
  return [text.replaceAll("\n", " ")];
}
