/** The command line of `npm run soak`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";

export const kinds = ["small", "post", "large", "websocket", "grpc", "gate"] as const;
/** What a call is: see `lanes/`. */
export type Kind = (typeof kinds)[number];

export interface SoakOptions {
  readonly seconds: number;
  readonly kinds: readonly Kind[];
  /** Absolute path, or undefined for none. */
  readonly json: string | undefined;
}

export const help = `Usage: npm run soak -- [options]

Keeps a mesh of a caller and two instances of an application under mixed load while certificates rotate, policies flip and
instances and the control plane restart. Exits 0 when no call was lost or wrongly decided and memory stayed flat.

  --minutes N    default: 10; at least 0.5
  --kinds LIST   of ${kinds.join(",")} (default: all)
  --json FILE    write what was found
  --help
`;

export class SoakOptionError extends Error {
  override readonly name = "SoakOptionError";
}

/** Reads the arguments after the script's name. `help` when that was asked for. Throws SoakOptionError. */
export function optionsFrom(args: readonly string[]): SoakOptions | "help" {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        minutes: { type: "string", default: "10" },
        kinds: { type: "string", default: kinds.join(",") },
        json: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (cause) {
    throw new SoakOptionError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (values.help) return "help";
  const minutes = /^\d+(\.\d+)?$/.test(values.minutes) ? Number(values.minutes) : Number.NaN;
  if (!(minutes >= 0.5 && minutes <= 100_000)) throw new SoakOptionError(`--minutes: expected a number from 0.5, got "${values.minutes}"`);
  const asked = values.kinds.split(",").map((text) => {
    const found = kinds.find((kind) => kind === text);
    if (found === undefined) throw new SoakOptionError(`--kinds: no kind "${text}"; there are ${kinds.join(", ")}`);
    return found;
  });
  return {
    seconds: Math.round(minutes * 60),
    kinds: [...new Set(asked)],
    json: values.json === undefined ? undefined : resolve(values.json),
  };
}
