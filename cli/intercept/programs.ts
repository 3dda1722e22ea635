/** The programs of this machine that know netfilter and network namespaces, run to their end. */
import { spawn } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { RulesError } from "./error.ts";

export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program with `input` on its stdin. Throws RulesError `no-program` where there is none of that name. */
export type Run = (command: readonly string[], input?: string) => Promise<Finished>;

const packages = new Map([
  ["nft", "nftables"],
  ["ip", "iproute2"],
  ["setpriv", "util-linux"],
]);

/** Administrators' programs, which the PATH of a plain user and of some containers leaves out. */
const administrators = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** The PATH of this process, and where administrators' programs are. */
export function searchPath(): string {
  const path = process.env["PATH"] ?? "/usr/local/bin:/usr/bin:/bin";
  return [...new Set([...path.split(":"), ...administrators])].join(":");
}

/** In the network namespace of this process. Programs speak English, since their words are looked into. */
export const runHere: Run = async (command, input) => {
  const [program = "", ...args] = command;
  // Looked for here: of a PATH with a folder that nobody may enter, the kernel says something else than that there is none.
  const child = spawn(findProgram(program), args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, PATH: searchPath(), LC_ALL: "C" },
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 128));
  });
  // One that does not read what it is given says why on stderr.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [status, stdout, stderr] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  return { status, stdout, stderr };
};

/** In a network namespace that `ip netns` knows by that name. */
export function runIn(namespace: string): Run {
  return async (command, input) => {
    const finished = await runHere(["ip", "netns", "exec", namespace, ...command], input);
    if (finished.status === 255 && /exec of .* failed: No such file/.test(finished.stderr)) throw missing(command[0] ?? "");
    return finished;
  };
}

/** Its path, as a shell finds it. Throws RulesError `no-program`. */
export function findProgram(program: string, path = searchPath()): string {
  const candidates = program.includes("/") ? [program] : path.split(delimiter).map((folder) => join(folder, program));
  const found = candidates.find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
  if (found === undefined) throw missing(program);
  return found;
}

function missing(program: string): RulesError {
  const debian = /^ip6?tables/.test(program) ? "iptables" : packages.get(program);
  const hint = debian === undefined ? "" : `: apt-get install ${debian}`;
  return new RulesError("no-program", `there is no ${program} in the PATH${hint}`);
}

/** Its output. Throws RulesError `refused` with what it had to say where it fails, or `not-permitted` where that was why. */
export async function must(run: Run, command: readonly string[], input?: string): Promise<string> {
  const { status, stdout, stderr } = await run(command, input);
  if (status === 0) return stdout;
  const said = stderr.trim().split("\n").slice(0, 3).join("; ");
  if (/operation not permitted|permission denied|you must be root/i.test(said)) {
    throw new RulesError("not-permitted", `${command[0]} is not permitted to: that takes root, or the capability CAP_NET_ADMIN (${said})`);
  }
  throw new RulesError("refused", `${command.join(" ")} failed: ${said}`);
}
