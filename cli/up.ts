/** `countersign up`: runs a mesh.yaml until Ctrl-C, a program that fails, or a part of the mesh that ends. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { runUntilSignalled } from "../common/runtime/shutdown.ts";
import { readMeshFile } from "./up/mesh-file.ts";
import type { TransparentOptions } from "./up/namespaces.ts";
import { createPrinter } from "./up/print.ts";
import { runMesh } from "./up/run-mesh.ts";

const drainMilliseconds = 30_000;

export interface UpOptions {
  readonly file: string;
  readonly data?: string;
  readonly json?: true;
  /** True stands for `redirect`. */
  readonly transparent?: string | true;
  readonly appUser?: string;
  readonly proxyUid?: string;
}

export async function up(options: UpOptions): Promise<void> {
  const transparent = transparentOf(options);
  const resources = readMeshFile(await readFile(options.file, "utf8"), options.file);
  if (!resources.some((each) => each.kind === "Workload")) {
    throw new Error(`${options.file} has no Workload and no services: there is nothing to run`);
  }
  const data = options.data === undefined ? await mkdtemp(join(tmpdir(), "countersign-")) : resolve(options.data);
  const printer = createPrinter(process.stdout, options.json === true);
  try {
    await runUntilSignalled(
      async (signal) => {
        const mesh = await runMesh({
          resources,
          data,
          cwd: resolve(dirname(options.file)),
          environment: process.env,
          onEvent: printer.event,
          signal,
          transparent,
        });
        printer.ready(mesh);
        const stopped = new Promise<void>((done) => signal.addEventListener("abort", () => done(), { once: true }));
        try {
          await Promise.race([stopped, mesh.failed]);
        } finally {
          printer.note("stopping");
          await mesh.stop();
        }
      },
      { drainMilliseconds },
    );
  } finally {
    if (options.data === undefined) await rm(data, { recursive: true, force: true });
  }
}

function transparentOf({ transparent, appUser, proxyUid }: UpOptions): TransparentOptions | undefined {
  if (transparent === undefined) {
    if (appUser !== undefined || proxyUid !== undefined) throw new Error("--app-user and --proxy-uid go with --transparent");
    return undefined;
  }
  const mode = transparent === true ? "redirect" : transparent;
  if (mode !== "redirect" && mode !== "tproxy")
    throw new Error(`--transparent: expected redirect or tproxy, found ${JSON.stringify(mode)}`);
  if (proxyUid !== undefined && !/^\d{1,10}$/.test(proxyUid))
    throw new Error(`--proxy-uid: expected a number, found ${JSON.stringify(proxyUid)}`);
  return { mode, appUser, proxyUid: proxyUid === undefined ? undefined : Number(proxyUid) };
}
