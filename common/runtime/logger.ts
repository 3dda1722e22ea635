/**
 * Logs: one JSON object a line on stdout, by pino. The level can be changed while the program runs, for every logger
 * made from the first. Fields that hold secrets are censored by name; a refusal carries its code in `reason`.
 * Text from the wire is only ever a field's value, which JSON escapes: no line can be forged.
 */
import { pino } from "pino";
import type { DestinationStream, Logger } from "pino";

export type { Logger } from "pino";

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

const secretFields: ReadonlySet<string> = new Set([
  "secret",
  "secretAccessKey",
  "sessionToken",
  "session_token",
  "token",
  "joinToken",
  "signingKey",
  "masterKey",
  "privateKey",
  "authorization",
  "password",
]);
const censored = "[secret]";
const maxDepth = 4;

/** A copy without secrets where there are any; the very object where there are none. Errors are pino's to show. */
function censor(value: unknown, depth: number): unknown {
  if (typeof value !== "object" || value === null || value instanceof Error || depth > maxDepth) return value;
  let copy: Record<string, unknown> | undefined;
  for (const [key, inner] of Object.entries(value)) {
    const shown = secretFields.has(key) ? censored : censor(inner, depth + 1);
    if (shown !== inner) {
      copy ??= { ...value };
      copy[key] = shown;
    }
  }
  return copy ?? value;
}

export interface Logging {
  readonly logger: Logger;
  readonly level: () => LogLevel;
  /** Applies to `logger` and to every child made from it. */
  readonly setLevel: (level: LogLevel) => void;
  /** Lines that were lost because nobody read them fast enough. */
  readonly dropped: () => number;
}

/** Bytes of lines that wait for a slow reader of stdout. */
const maxWaiting = 4 * 1024 * 1024;

/** `destination` is stdout unless given. Children are for parts of the program, made once: each is remembered for `setLevel`. */
export function createLogging(options: {
  readonly name: string;
  readonly level: LogLevel;
  readonly destination?: DestinationStream;
}): Logging {
  const children: Logger[] = [];
  let dropped = 0;
  const destination = options.destination ?? stdout(() => dropped++);
  const settings = {
    name: options.name,
    level: options.level,
    base: { name: options.name },
    formatters: { log: (fields: Record<string, unknown>) => censor(fields, 0) as Record<string, unknown> },
    onChild: (child: Logger) => {
      children.push(child);
    },
  };
  const logger = pino(settings, destination);
  return {
    logger,
    level: () => logger.level as LogLevel,
    setLevel(level) {
      for (const each of [logger, ...children]) each.level = level;
    },
    dropped: () => dropped,
  };
}

/**
 * Written behind the program's back: a reader that is slow, or gone, must not hold up a call. What still waits when the
 * process exits is written then.
 */
function stdout(onDrop: () => void): DestinationStream {
  const stream = pino.destination({ dest: 1, sync: false, maxLength: maxWaiting });
  stream.on("drop", onDrop);
  return stream;
}
