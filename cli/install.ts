/** `countersign install` */
import { setTimeout as delay } from "node:timers/promises";
import { stringify } from "yaml";
import type { JsonObject } from "../common/injection/json.ts";
import { injectLabel, injectLabelValue } from "../common/injection/names.ts";
import { KubernetesError } from "../control-plane/kubernetes/error.ts";
import { connectCluster, type ClusterConnection, type ClusterOptions } from "./kubernetes/connect.ts";
import { durationFrom } from "./kubernetes/duration.ts";
import { formatFinding, type Finding } from "./kubernetes/finding.ts";
import { applyManifest, type Outcome } from "./kubernetes/install/apply.ts";
import { InstallError } from "./kubernetes/install/error.ts";
import { manifestsOf } from "./kubernetes/install/manifests.ts";
import { checkRequirements } from "./kubernetes/install/requirements.ts";
import { definedTypes, pathOfManifest, typeOf, typesFor, type ResourceType } from "./kubernetes/install/resource-types.ts";
import { waitUntilEstablished, waitUntilReady } from "./kubernetes/install/wait-ready.ts";
import { identityOf, textOf } from "./kubernetes/kustomize/resource.ts";
import { injectionStatus } from "./kubernetes/status/injection.ts";
import { namespaceStatuses } from "./kubernetes/status/namespaces.ts";
import { checkTrialPod } from "./kubernetes/status/trial-pod.ts";
import { untilInterrupted } from "./until-interrupted.ts";

export interface InstallOptions extends ClusterOptions {
  readonly overlay: string;
  readonly image?: string;
  readonly trustDomain?: string;
  readonly dryRun?: true | string;
  readonly output?: string;
  readonly wait: boolean;
  readonly timeout: string;
  readonly forceConflicts?: true;
  readonly json?: true;
}

/** Prints what happens as it happens. Ends with 130 where it was interrupted. */
export async function install(options: InstallOptions): Promise<void> {
  const timeoutMilliseconds = durationFrom(options.timeout);
  const dryRun = dryRunFrom(options.dryRun);
  const manifests = manifestsOf({
    overlay: options.overlay,
    ...(options.image !== undefined && { image: options.image }),
    ...(options.trustDomain !== undefined && { trustDomain: options.trustDomain }),
  });
  if (options.output !== undefined) {
    print(manifests, options.output);
    return;
  }
  const say = options.json ? jsonLines : textLines;
  if (dryRun === "client") {
    for (const manifest of manifests) say.applied(manifest, undefined);
    return;
  }
  await untilInterrupted(
    async (signal) => {
      await using cluster = await connectCluster(options, signal);
      await installTo(cluster, { manifests, options, dryRun: dryRun === "server", timeoutMilliseconds, signal, say });
    },
    () => process.stderr.write("countersign: interrupted; what was applied stays, and countersign status says how far it is\n"),
  );
}

interface Run {
  readonly manifests: readonly JsonObject[];
  readonly options: InstallOptions;
  readonly dryRun: boolean;
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
  readonly say: typeof textLines;
}

async function installTo(cluster: ClusterConnection, { manifests, options, dryRun, timeoutMilliseconds, signal, say }: Run): Promise<void> {
  const force = options.forceConflicts === true;
  const types = await typesFor(cluster.ask, manifests);
  const findings = await checkRequirements(cluster, { manifests, types, force });
  for (const finding of findings) say.found(finding);
  if (findings.some(({ state }) => state === "failed")) throw new InstallError("refused", "nothing was changed");
  const waiting = { ask: cluster.ask, manifests, types, timeoutMilliseconds, signal, say: say.progress };
  let definitionsPending = true;
  for (const manifest of manifests) {
    const type = typeOf(manifest, types);
    if (type === undefined) continue;
    // What the definitions define cannot be applied before they hold.
    if (definitionsPending && !dryRun && typeOf(manifest, definedTypes(manifests)) !== undefined) {
      await waitUntilEstablished(waiting);
      definitionsPending = false;
    }
    say.applied(manifest, await outcomeOf(cluster, manifest, type, { dryRun, force }));
  }
  if (dryRun) {
    say.next("countersign install, without --dry-run: nothing was changed");
    return;
  }
  if (options.wait) {
    await waitUntilReady(waiting);
    await tryPod(cluster, say);
  }
  say.next(
    options.wait
      ? `kubectl label namespace NAME ${injectLabel}=${injectLabelValue}, and restart what runs in it: kubectl rollout restart deployment,statefulset,daemonset -n NAME`
      : "countersign status",
  );
}

/** Where a namespace is meshed already, a pod of it has to get its sidecar. */
async function tryPod(cluster: ClusterConnection, say: typeof textLines): Promise<void> {
  const { image } = await injectionStatus(cluster.ask);
  const [namespace] = (await namespaceStatuses(cluster, image)).filter(({ label }) => label === injectLabelValue);
  if (namespace === undefined) return;
  // The API server learns of policies and settings a moment after they are there.
  const trial = async () => await checkTrialPod(cluster, namespace.name, image);
  let finding = await trial();
  for (let tries = 1; tries < 10 && finding.state === "failed"; tries += 1) {
    await delay(500);
    finding = await trial();
  }
  say.found(finding);
  if (finding.state === "failed") throw new InstallError("not-ready", "everything was applied, and pods do not get what they should");
}

/** On a trial, what cannot be asked of the API server before its namespace or its definition is there would be created. */
async function outcomeOf(
  cluster: ClusterConnection,
  manifest: JsonObject,
  type: ResourceType,
  how: { readonly dryRun: boolean; readonly force: boolean },
): Promise<Outcome> {
  try {
    return await applyManifest(cluster, manifest, pathOfManifest(manifest, type), how);
  } catch (error) {
    if (!(error instanceof KubernetesError)) throw error;
    if (how.dryRun && error.code === "not-found") return "created";
    const what = textOf(identityOf(manifest));
    throw new InstallError("not-applied", `${what} was not applied; what came before it was`, { cause: error });
  }
}

/** What is told, as lines of text. */
const textLines = {
  found: (finding: Finding): void => void process.stdout.write(formatFinding(finding)),
  applied: (manifest: JsonObject, outcome: Outcome | undefined): void =>
    void process.stdout.write(`${(outcome ?? "").padEnd(10)} ${textOf(identityOf(manifest))}\n`.trimStart()),
  progress: (state: "ready" | "waiting", what: string): void => void process.stdout.write(`${state.padEnd(10)} ${what}\n`),
  next: (what: string): void => void process.stdout.write(`\nNext: ${what}\n`),
};

const jsonLines: typeof textLines = {
  found: (finding) => line({ event: "found", ...finding }),
  applied: (manifest, outcome) => {
    const { group, kind, namespace, name } = identityOf(manifest);
    line({ event: "applied", group, kind, ...(namespace !== "" && { namespace }), name, ...(outcome !== undefined && { outcome }) });
  },
  progress: (state, what) => line({ event: state, what }),
  next: (what) => line({ event: "next", what }),
};

function line(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function print(manifests: readonly JsonObject[], form: string): void {
  if (form === "json") process.stdout.write(`${JSON.stringify({ apiVersion: "v1", kind: "List", items: manifests }, null, 2)}\n`);
  else if (form !== "yaml") throw new InstallError("bad-option", `--output ${form}: expected yaml or json`);
  else
    process.stdout.write(
      manifests.map((each) => stringify(each, { version: "1.1", lineWidth: 0, aliasDuplicateObjects: false })).join("---\n"),
    );
}

function dryRunFrom(text: true | string | undefined): "client" | "server" | undefined {
  if (text === true) return "server";
  if (text === undefined || text === "client" || text === "server") return text;
  throw new InstallError("bad-option", `--dry-run=${text}: expected client or server`);
}
