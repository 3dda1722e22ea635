/** Writes the files of k8s/ that are made from the sources; with `--check` it only says which are not as they should be, and fails. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { manifestFiles } from "./manifest-files.ts";

const root = join(import.meta.dirname, "../..");

function present(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

for (const [file, text] of manifestFiles()) {
  const path = join(root, file);
  if (present(path) === text) continue;
  if (process.argv.includes("--check")) {
    process.stderr.write(`${file} is not what its sources make: run bin/node26 cli/kubernetes/generate-manifests.ts\n`);
    process.exitCode = 1;
  } else {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    process.stdout.write(`${file}\n`);
  }
}
