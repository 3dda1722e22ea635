/** Single operations inside a sidecar or the control plane, each measured by a script of its own that can also be run alone. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { BenchError } from "../errors.ts";
import type { FigureName } from "../figures.ts";
import type { WorkName } from "../options.ts";
import type { OwnWork } from "../work.ts";

/** The script prints, with `--json`, its figure as `{"<figure>": number}` in its last line. */
function scriptWork(name: WorkName, script: string, figure: FigureName, title: string): OwnWork {
  return {
    kind: "own",
    name,
    title,
    figures: [figure],
    async measure({ signal }) {
      const run = promisify(execFile)(process.execPath, [join(import.meta.dirname, "..", script), "--json"], { signal });
      const { stdout } = await run.catch((cause: unknown) => {
        signal.throwIfAborted();
        throw new BenchError("process-failed", `${script}: ${(cause as { stderr?: string }).stderr ?? String(cause)}`, { cause });
      });
      const last = stdout.trimEnd().split("\n").at(-1) ?? "";
      const value: unknown = last.startsWith("{") ? (JSON.parse(last) as Record<string, unknown>)[figure] : undefined;
      if (typeof value !== "number") throw new BenchError("bad-output", `${script} ended with ${JSON.stringify(last)}`);
      return { [figure]: value };
    },
  };
}

export const primitives: readonly OwnWork[] = [
  scriptWork(
    "sigv4-verify",
    "sigv4.ts",
    "operationMicros",
    "SigV4: an authorisation parsed, its date checked, the signature verified, the key cached",
  ),
  scriptWork(
    "policy-decision",
    "policy.ts",
    "operationMicros",
    "A policy decision, uncached, 1,000 statements on one role, the slowest of the shapes tried",
  ),
  scriptWork(
    "certificates",
    "ca.ts",
    "certificatesPerCpuSecond",
    "Certificates: CSR checked, leaf signed, read back, verified; in one process, without gRPC and mTLS",
  ),
];
