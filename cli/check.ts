/** `countersign check` */
import { checkCluster } from "./kubernetes/cluster-check.ts";
import { connectCluster, type ClusterOptions } from "./kubernetes/connect.ts";
import { formatFinding } from "./kubernetes/finding.ts";

export interface CheckOptions extends ClusterOptions {
  /** What would be installed where nothing is. */
  readonly overlay: string;
  readonly json?: true;
}

/** Ends with status 1 where something failed. */
export async function check(options: CheckOptions): Promise<void> {
  await using cluster = await connectCluster(options);
  const findings = await checkCluster(cluster, options.overlay);
  if (options.json) process.stdout.write(`${JSON.stringify(findings)}\n`);
  else for (const finding of findings) process.stdout.write(formatFinding(finding));
  if (findings.some(({ state }) => state === "failed")) process.exitCode = 1;
}
