/**
 * `countersign intercept run`: what takes privileges is done first, and the sidecar then takes this process's place without
 * any: no capability, no way to get one back, and a user that the rules know.
 */
import { loadLibc } from "../../sidecar/intercept/libc.ts";
import { openTransparentSocket } from "../../sidecar/intercept/transparent-socket.ts";
import { sidecarCommand } from "../sidecar-command.ts";
import { RulesError } from "./error.ts";
import { findProgram } from "./programs.ts";

export interface LaunchOptions {
  readonly mode: "redirect" | "tproxy";
  readonly uid: number;
  readonly gid: number;
  readonly inboundPort: number;
  readonly outboundPort: number;
  /** Of what is run; the sidecar of this project where it is empty. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** linux/prctl.h */
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
/** More than any kernel has; those that it has not are refused, to no effect. */
const capabilities = 64n;

/** Does not return. Throws RulesError or InterceptError. */
export function launch(options: LaunchOptions): never {
  const { mode, uid, gid } = options;
  if (uid === 0) throw new RulesError("bad-option", "--proxy-uid: expected another user than root");
  if (process.getuid?.() !== 0) throw new RulesError("not-permitted", "becoming another user takes root");
  const [program = "", ...args] = options.command.length > 0 ? options.command : sidecarCommand;
  const file = findProgram(program, options.environment["PATH"]);
  const inbound = mode === "tproxy" ? `fd:${openTransparentSocket(options.inboundPort)}` : `[::]:${options.inboundPort}`;
  const environment = {
    COUNTERSIGN_OUTBOUND: `[::]:${options.outboundPort}`,
    ...options.environment,
    COUNTERSIGN_INTERCEPT: mode,
    COUNTERSIGN_INBOUND: inbound,
  };
  giveUpPrivileges(uid, gid);
  const set = Object.entries(environment).filter((entry): entry is [string, string] => entry[1] !== undefined);
  execve(file, [program, ...args], Object.fromEntries(set));
}

function giveUpPrivileges(uid: number, gid: number): void {
  const { prctl } = loadLibc();
  for (let capability = 0n; capability < capabilities; capability++) prctl(PR_CAPBSET_DROP, capability, 0n, 0n, 0n);
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1n, 0n, 0n, 0n) !== 0) throw new RulesError("unsupported-platform", "this kernel has no no_new_privs");
}

function execve(file: string, args: readonly string[], environment: Record<string, string>): never {
  if (!process.execve) throw new RulesError("unsupported-platform", "this Node cannot have another program take its place");
  const warn = process.emitWarning.bind(process);
  // That execve is experimental is nothing to the program that follows.
  process.emitWarning = () => undefined;
  try {
    return process.execve(file, args, environment);
  } finally {
    process.emitWarning = warn;
  }
}
