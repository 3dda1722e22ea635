/**
 * This checkout as other users can read it. Programs in namespaces are users 1337 and 65534, and a checkout may be below /root, or
 * made with umask 077: then they are given a copy of what runs, made once a run, which `checkout-copy.ts` removes at its end.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { inject } from "vitest";

const own = join(import.meta.dirname, "../..");
const parts = ["bin", "cli", "common", "control-plane", "sidecar", "examples", "test/mesh", "test/sidecar/intercept", "package.json"];
const users = [1337, 65_534];
/** What shows by itself whether all of it can be read, and run. */
const samples = ["bin/node26", "cli/main.ts", "node_modules/commander/package.json", "test/mesh/programs/echo.py"];

let found: string | undefined;

/** Its folder, or the copy's. As root only. */
export function readableCheckout(): string {
  found ??= users.every(canRead) ? own : copy();
  return found;
}

function canRead(user: number): boolean {
  const files = samples.map((each) => join(own, each));
  const all = ["sh", "-c", 'for each; do test -r "$each" || exit 1; done', "sh", ...files];
  return spawnSync("setpriv", [`--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--", ...all], { cwd: "/" }).status === 0;
}

function copy(): string {
  const target = inject("checkoutCopy");
  if (existsSync(target)) return target;
  // Tests that want it at the same time each make one, and the first counts.
  const attempt = `${target}-${process.pid}`;
  mkdirSync(dirname(target), { recursive: true });
  for (const part of [...parts, ...packages()]) cpSync(join(own, part), join(attempt, part), { recursive: true, verbatimSymlinks: true });
  chmodSync(dirname(target), 0o755);
  const made = spawnSync("chmod", ["-R", "a+rX", attempt]);
  if (made.status !== 0) throw new Error(`chmod: ${String(made.stderr)}`);
  try {
    renameSync(attempt, target);
  } catch (error) {
    if (!existsSync(target)) throw error;
    rmSync(attempt, { recursive: true, force: true });
  }
  return target;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean; readonly devOptional?: boolean }>>;
}

/** Those that run needs, of Node only the program. */
function packages(): string[] {
  const lock = JSON.parse(readFileSync(join(own, "package-lock.json"), "utf8")) as Lock;
  return Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== "" && dev !== true && devOptional !== true && existsSync(join(own, path)))
    .map(([path]) => (existsSync(join(own, path, "bin/node")) ? `${path}/bin` : path));
}
