/** `countersign uninstall` */
import { injectLabel } from "../common/injection/names.ts";
import { connectCluster, type ClusterConnection, type ClusterOptions } from "./kubernetes/connect.ts";
import { durationFrom } from "./kubernetes/duration.ts";
import { InstallError } from "./kubernetes/install/error.ts";
import { findMesh, type MeshInCluster, type Present } from "./kubernetes/uninstall/find.ts";
import { inRemovalOrder, remove } from "./kubernetes/uninstall/remove.ts";
import { untilInterrupted } from "./until-interrupted.ts";

export interface UninstallOptions extends ClusterOptions {
  readonly yes?: true;
  readonly dryRun?: true;
  readonly keepCrds?: true;
  readonly removeLabels?: true;
  readonly timeout: string;
  readonly json?: true;
}

/** Ends with 1, and nothing removed, where it would take something from its users and `yes` is not set. */
export async function uninstall(options: UninstallOptions): Promise<void> {
  const timeoutMilliseconds = durationFrom(options.timeout);
  await untilInterrupted(
    async (signal) => {
      await using cluster = await connectCluster(options, signal);
      const mesh = await findMesh(cluster.ask);
      const say = options.json ? jsonLine : textLine;
      const objects = inRemovalOrder(mesh.objects.filter(({ kind }) => !options.keepCrds || kind !== "CustomResourceDefinition"));
      const warnings = warningsOf(mesh, options.keepCrds === true);
      for (const warning of warnings) say("warning", warning);
      if (options.dryRun) {
        for (const present of objects) say("would be deleted", nameOf(present));
        return;
      }
      if (warnings.length > 0 && options.yes !== true) {
        throw new InstallError("refused", "nothing was removed; countersign uninstall --yes removes it nevertheless");
      }
      if (objects.length === 0) say("done", "there is nothing of Countersign in this cluster");
      else await remove(cluster, objects, { timeoutMilliseconds, signal, say });
      if (options.removeLabels) await removeLabels(cluster, mesh.labelledNamespaces, say);
      for (const line of notesOf(mesh, options)) say("note", line);
    },
    () => process.stderr.write("countersign: interrupted; countersign uninstall goes on where it ended\n"),
  );
}

/** What its users lose or have to do. */
function warningsOf({ meshedPods, labelledNamespaces, customResources }: MeshInCluster, keepsResources: boolean): readonly string[] {
  const warnings: string[] = [];
  if (meshedPods.length > 0) {
    const namespaces = [...new Set(meshedPods.map(({ namespace }) => namespace))];
    warnings.push(
      `${count(meshedPods.length, "pod")} of ${namespaces.join(", ")} still ${meshedPods.length === 1 ? "has its" : "have their"} sidecar: calls between them go on while their certificates are valid, an hour at most unless the Mesh says otherwise, and a pod that is made anew is plain and cannot call them. Take them out first: ${namespaces.map((name) => `kubectl label namespace ${name} ${injectLabel}-; ${restart(name)}`).join("; ")}`,
    );
  }
  const unmeshed = labelledNamespaces.filter((name) => !meshedPods.some(({ namespace }) => namespace === name));
  if (unmeshed.length > 0)
    warnings.push(`the label ${injectLabel} at ${unmeshed.join(", ")} will mean nothing: pods will be made without a sidecar`);
  if (customResources.length > 0 && !keepsResources) {
    const names = customResources.map(nameOf);
    const shown = names.length > 5 ? `${names.slice(0, 5).join(", ")} and ${names.length - 5} more` : names.join(", ");
    warnings.push(
      `${count(customResources.length, "custom resource")} will be deleted: ${shown}. --keep-crds keeps them; kubectl get countersign -A -o yaml prints them`,
    );
  }
  return warnings;
}

function notesOf(
  { meshedPods, labelledNamespaces, keptVolumes, others }: MeshInCluster,
  { removeLabels }: UninstallOptions,
): readonly string[] {
  const namespaces = [...new Set(meshedPods.map(({ namespace }) => namespace))];
  return [
    ...namespaces.map((name) => `pods of ${name} are plain when they are made anew: ${restart(name)}`),
    ...(removeLabels
      ? []
      : labelledNamespaces.map((name) => `namespace ${name} keeps its label: kubectl label namespace ${name} ${injectLabel}-`)),
    ...keptVolumes.map(
      (name) => `the PersistentVolume ${name} stays, with the certificate authority's keys: kubectl delete persistentvolume ${name}`,
    ),
    ...others.map((present) => `${nameOf(present)} has our label, but we have not made it: it stays`),
  ];
}

function restart(namespace: string): string {
  return `kubectl rollout restart deployment,statefulset,daemonset -n ${namespace}`;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function nameOf({ kind, namespace, name }: Present): string {
  return `${kind} ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

async function removeLabels({ send }: ClusterConnection, namespaces: readonly string[], say: typeof textLine): Promise<void> {
  for (const name of namespaces) {
    const body = { metadata: { labels: { [injectLabel]: null } } };
    await send({ method: "PATCH", path: `/api/v1/namespaces/${name}`, body, contentType: "application/merge-patch+json" });
    say("unlabelled", `Namespace ${name}`);
  }
}

function textLine(state: string, what: string): void {
  process.stdout.write(`${state.padEnd(10)} ${what}\n`);
}

function jsonLine(state: string, what: string): void {
  process.stdout.write(`${JSON.stringify({ event: state, what })}\n`);
}
