/** The command line of `npm run bench`. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { BenchError } from "./errors.ts";

export const peerNames = ["direct", "nginx", "haproxy-h1", "haproxy-h2", "envoy-h1", "envoy-h2", "countersign"] as const;
export type PeerName = (typeof peerNames)[number];

export const workNames = [
  "http1-63B",
  "grpc-unary",
  "http1-1MiB",
  "churn",
  "latency-1000rps",
  "latency-5000rps",
  "memory",
  "start",
  "sigv4-verify",
  "policy-decision",
  "certificates",
] as const;
export type WorkName = (typeof workNames)[number];

export interface Options {
  readonly works: readonly WorkName[];
  readonly peers: readonly PeerName[];
  /** Of http1-63B. */
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

Measures a pair of mTLS proxies in front of one application, peer by peer, and what our own parts take.

  --quick              http1-63B at 32 connections, nginx and countersign, under a minute
  --only LIST          of ${workNames.join(",")}
                       or what they begin with, such as latency (default: all)
  --peers LIST         of ${peerNames.join(",")}
                       (default: all, Envoy where it is installed)
  --connections LIST   of http1-63B (default: 1,4,32,256)
  --rounds N           runs of each peer (default: 3)
  --seconds N          length of a run (default: 4)
  --json FILE          write countersign's figures against each peer's
  --profile DIR        write CPU profiles of the countersign sidecars (their figures are then too high)
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

function worksFrom(text: string): WorkName[] {
  const found = workNames.filter((name) => name === text || name.startsWith(`${text}-`));
  if (found.length === 0) throw new BenchError("bad-option", `--only: nothing called "${text}"; there are ${workNames.join(", ")}`);
  return found;
}

/**
 * Reads the arguments after the script's name. `help` when that was asked for. Envoy is a peer by default only where it is
 * installed. Throws BenchError `bad-option`.
 */
export function optionsFrom(args: readonly string[], hasEnvoy: boolean): Options | "help" {
  let values;
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: "boolean", default: false },
        only: { type: "string" },
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
  const standardPeers = peerNames.filter((name) => hasEnvoy || !name.startsWith("envoy")).join(",");
  const peers = (values.peers ?? (values.quick ? "nginx,countersign" : standardPeers)).split(",").map(peerFrom);
  const connections = (values.connections ?? (values.quick ? "32" : "1,4,32,256"))
    .split(",")
    .map((text) => numberFrom("--connections", text, 1, 1024));
  const works = (values.only ?? (values.quick ? "http1-63B" : workNames.join(","))).split(",").flatMap(worksFrom);
  if (!peers.includes("countersign")) {
    const flag = values.json !== undefined ? "--json" : values.profile !== undefined ? "--profile" : undefined;
    if (flag !== undefined) throw new BenchError("bad-option", `${flag} is about countersign, which --peers leaves out`);
  }
  return {
    works: workNames.filter((name) => works.includes(name)),
    peers: [...new Set(peers)],
    connections: [...new Set(connections)],
    rounds: numberFrom("--rounds", values.rounds, 1, 100),
    seconds: numberFrom("--seconds", values.seconds, 1, 3600),
    json: values.json === undefined ? undefined : resolve(values.json),
    profile: values.profile === undefined ? undefined : resolve(values.profile),
  };
}
