/** `countersign status` */
import { setTimeout as delay } from "node:timers/promises";
import { connectCluster, type ClusterOptions } from "./kubernetes/connect.ts";
import { formatStatus } from "./kubernetes/status/print.ts";
import { findingsOf, meshStatus } from "./kubernetes/status/status.ts";
import { untilInterrupted } from "./until-interrupted.ts";

export interface StatusOptions extends ClusterOptions {
  readonly watch?: true;
  readonly json?: true;
}

const watchMilliseconds = 2000;

/** Ends with status 1 where something is not as it should be; with `watch` only at Ctrl-C, and what it prints is what has changed. */
export async function status(options: StatusOptions): Promise<void> {
  await untilInterrupted(
    async (signal) => {
      await using cluster = await connectCluster(options, signal);
      let said = "";
      for (;;) {
        const found = await meshStatus(cluster);
        const findings = findingsOf(found);
        const text = options.json ? `${JSON.stringify({ ...found, findings })}\n` : formatStatus(found);
        if (text !== said) process.stdout.write(said === "" || options.json ? text : `\n${text}`);
        said = text;
        process.exitCode = findings.some(({ state }) => state === "failed") ? 1 : 0;
        if (options.watch !== true) return;
        await delay(watchMilliseconds, undefined, { signal });
      }
    },
    () => {},
  );
}
