/** `countersign control-plane` */
import { runUntilSignalled } from "../common/runtime/shutdown.ts";
import { runControlPlane } from "../control-plane/main.ts";

const drainMilliseconds = 15_000;

export async function controlPlane(): Promise<void> {
  await runUntilSignalled((signal) => runControlPlane(process.env, signal), { drainMilliseconds });
  process.exit(0);
}
