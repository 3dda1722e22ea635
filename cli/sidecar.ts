/** `countersign sidecar` */
import { runUntilSignalled } from "../common/runtime/shutdown.ts";
import { readSidecarConfig } from "../sidecar/config.ts";
import { runSidecar } from "../sidecar/main.ts";

export async function sidecar(): Promise<void> {
  const { drainSeconds } = readSidecarConfig(process.env);
  // The drain has its own deadline; this one is for a drain that hangs.
  await runUntilSignalled((signal) => runSidecar(process.env, signal), { drainMilliseconds: drainSeconds * 1000 + 5000 });
  process.exit(0);
}
