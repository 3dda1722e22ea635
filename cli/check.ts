/** `countersign check` */
import { checkCluster } from "./kubernetes/cluster-check.ts";
import { connectCluster, type ClusterOptions } from "./kubernetes/connect.ts";
import { formatFinding } from "./kubernetes/finding.ts";

/** Ends with status 1 where something failed. */
export async function check(options: ClusterOptions & { readonly json?: true }): Promise<void> {
  await using cluster = await connectCluster(options);
  const findings = await checkCluster(cluster.ask);
  if (options.json) process.stdout.write(`${JSON.stringify(findings)}\n`);
  else for (const finding of findings) process.stdout.write(formatFinding(finding));
  if (findings.some(({ state }) => state === "failed")) process.exitCode = 1;
}
