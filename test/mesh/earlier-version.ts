/** The release before this one, from this repository's own history: what sidecars run while a mesh is being upgraded. */
import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/** The commit of the last minor version; moves with every release. */
const released = "49b51f00b6766768673ff7b2bf4d56c7de7bd7e2";

const root = join(import.meta.dirname, "../..");
const git = (...args: string[]) => execFileSync("git", args, { cwd: root, maxBuffer: 256 * 1024 * 1024 });

/** Why it is not to be had; undefined where it is. A clone may be shallow, and an archive has no history. */
export function missingHistory(): string | undefined {
  try {
    git("cat-file", "-e", `${released}^{commit}`);
    return undefined;
  } catch {
    return "needs the history of this repository: git fetch --unshallow";
  }
}

/** Puts it into `folder`, with the packages of this checkout, and returns the folder. */
export function checkOutRelease(folder: string): string {
  const target = join(folder, "released");
  mkdirSync(target);
  const archive = git("archive", "--format=tar", released);
  execFileSync("tar", ["-x", "-C", target], { input: archive });
  symlinkSync(join(root, "node_modules"), join(target, "node_modules"));
  return target;
}
