/** The command line of `npm run bench`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { BenchError } from "./errors.ts";

export const peerNames = ["direct", "nginx", "haproxy-h1", "haproxy-h2", "countersign"] as const;
export type PeerName = (typeof peerNames)[number];

export interface Options {
  readonly peers: readonly PeerName[];
  readonly connections: readonly number[];
  readonly rounds: number;
  /** Length of one measured run. */
  readonly seconds: number;
  /** Absolute path, or undefined for none. */
  readonly json: string | undefined;
  /** Absolute path of the folder for CPU profiles of our sidecars, or undefined for none. */
  readonly profile: string | undefined;
}

export const help = `Usage: npm run bench -- [options]

Measures the CPU and latency of a pair of mTLS proxies in front of one application, peer by peer.

  --quick              32 connections, nginx and countersign, under a minute
  --peers LIST         of ${peerNames.join(",")} (default: all)
  --connections LIST   default: 1,4,32,256
  --rounds N           runs of each peer at each number of connections (default: 3)
  --seconds N          length of a run (default: 4)
  --json FILE          write countersign's figures against each peer's
  --profile DIR        write CPU profiles of the two countersign sidecars (their figures are then too high)
  --help
`;

function numberFrom(flag: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new BenchError("bad-option", `${flag}: expected a whole number from ${least} to ${most}, got "${text}"`);
}

function peerFrom(text: string): PeerName {
  const found = peerNames.find((name) => name === text);
  if (found === undefined) throw new BenchError("bad-option", `--peers: no peer "${text}"; there are ${peerNames.join(", ")}`);
  return found;
}

/** Reads the arguments after the script's name. `help` when that was asked for. Throws BenchError `bad-option`. */
export function optionsFrom(args: readonly string[]): Options | "help" {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        peers: { type: "string" },
        connections: { type: "string" },
        rounds: { type: "string", default: "3" },
        seconds: { type: "string", default: "4" },
        json: { type: "string" },
        profile: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }));
  } catch (cause) {
    throw new BenchError("bad-option", cause instanceof Error ? cause.message : String(cause), { cause });
  }
  if (values.help) return "help";
  const peers = (values.peers ?? (values.quick ? "nginx,countersign" : peerNames.join(","))).split(",").map(peerFrom);
  const connections = (values.connections ?? (values.quick ? "32" : "1,4,32,256"))
    .split(",")
    .map((text) => numberFrom("--connections", text, 1, 1024));
  if (!peers.includes("countersign")) {
    const flag = values.json !== undefined ? "--json" : values.profile !== undefined ? "--profile" : undefined;
    if (flag !== undefined) throw new BenchError("bad-option", `${flag} is about countersign, which --peers leaves out`);
  }
  return {
    peers: [...new Set(peers)],
    connections: [...new Set(connections)],
    rounds: numberFrom("--rounds", values.rounds, 1, 100),
    seconds: numberFrom("--seconds", values.seconds, 1, 3600),
    json: values.json === undefined ? undefined : resolve(values.json),
    profile: values.profile === undefined ? undefined : resolve(values.profile),
  };
}
