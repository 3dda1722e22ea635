/** Fails when common/gen is not what proto/ generates, or k8s/ not what its sources make: makes all of it anew and compares. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const manifests = spawnSync(process.execPath, [join(root, "cli/kubernetes/generate-manifests.ts"), "--check"], { stdio: "inherit" });
if (manifests.status !== 0) process.exitCode = 1;
const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
const folder = mkdtempSync(join(tmpdir(), "countersign-gen-"));
try {
  const template = readFileSync(join(root, "proto/buf.gen.yaml"), "utf8");
  const redirected = template.replace("../common/gen", folder).replace("../node_modules", join(root, "node_modules"));
  writeFileSync(join(folder, "buf.gen.yaml"), redirected);
  const run = (...args: string[]) => execFileSync(process.execPath, [buf, ...args], { cwd: join(root, "proto"), stdio: "inherit" });
  run("lint");
  run("generate", "--template", join(folder, "buf.gen.yaml"));
  const filesBelow = (base: string) =>
    readdirSync(base, { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts"))
      .sort();
  const committed = join(root, "common/gen");
  const names = new Set([...filesBelow(folder), ...filesBelow(committed)]);
  for (const name of names) {
    const text = (base: string) => {
      try {
        return readFileSync(join(base, name), "utf8");
      } catch {
        return undefined;
      }
    };
    if (text(folder) !== text(committed)) {
      process.stderr.write(`common/gen/${name} is not what proto/ generates: run npm run generate\n`);
      process.exitCode = 1;
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
