/** Whether what claims a volume will get one: a pod waits for it without end, and without a word. */
import { z } from "zod";
import { asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import type { Ask } from "../connect.ts";
import { failed, note, ok, type Finding } from "../finding.ts";
import { identityOf } from "../kustomize/resource.ts";

const classes = z.object({
  items: z.array(z.object({ metadata: z.object({ name: z.string(), annotations: z.record(z.string(), z.string()).default({}) }) })),
});
const claim = z.object({ status: z.object({ phase: z.string().default("Pending") }).prefault({}) });
const volumes = z.object({
  items: z.array(
    z.object({
      metadata: z.object({ name: z.string() }),
      spec: z.object({
        storageClassName: z.string().default(""),
        claimRef: z.object({ namespace: z.string().default(""), name: z.string().default("") }).optional(),
      }),
      status: z.object({ phase: z.string().default("") }).prefault({}),
    }),
  ),
});

const defaultClass = "storageclass.kubernetes.io/is-default-class";

export async function checkStorage(ask: Ask, manifests: readonly JsonObject[]): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const manifest of manifests) {
    if (manifest["kind"] === "PersistentVolumeClaim") findings.push(await checkClaim(ask, manifest));
  }
  return findings;
}

async function checkClaim(ask: Ask, manifest: JsonObject): Promise<Finding> {
  const { name, namespace } = identityOf(manifest);
  const present = claim.optional().parse(await ask(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`));
  if (present?.status.phase === "Bound") return ok(`the claim ${name} has its volume`);
  const wanted = asText(asObject(manifest["spec"])?.["storageClassName"]);
  try {
    const { items } = classes.parse(await ask("/apis/storage.k8s.io/v1/storageclasses"));
    const found = items.find(({ metadata }) => (wanted === "" ? metadata.annotations[defaultClass] === "true" : metadata.name === wanted));
    if (found !== undefined) return ok(`the claim ${name} gets a volume of the StorageClass ${found.metadata.name}`);
    const { items: present } = volumes.parse(await ask("/api/v1/persistentvolumes"));
    const isOurs = ({ spec }: (typeof present)[number]) => spec.claimRef?.namespace === namespace && spec.claimRef.name === name;
    const left = present.find((each) => isOurs(each) && each.status.phase === "Released");
    if (left !== undefined) {
      const text = `the PersistentVolume ${left.metadata.name} is an earlier installation's, and still claimed by it`;
      return failed(text, `kubectl delete persistentvolume ${left.metadata.name}, or have it again: ${takeAgain(left.metadata.name)}`);
    }
    const made = present.some((each) => {
      const { spec, status } = each;
      const isFree = spec.claimRef === undefined && (status.phase === "Available" || status.phase === "");
      return isOurs(each) || (isFree && spec.storageClassName === wanted);
    });
    if (made) return ok(`the claim ${name} gets a PersistentVolume that is there`);
  } catch (error) {
    if (!(error instanceof KubernetesError) || error.code !== "forbidden") throw error;
    return note(`whether the claim ${name} gets a volume cannot be seen: you may not list storageclasses and persistentvolumes`);
  }
  const what = wanted === "" ? "no default StorageClass" : `no StorageClass ${wanted}`;
  return failed(
    `nothing gives the claim ${name} in ${namespace} a volume: ${what}, and no PersistentVolume for it`,
    `kubectl annotate storageclass NAME ${defaultClass}=true, or make a PersistentVolume with a claimRef to ${namespace}/${name}`,
  );
}

/** Without the uid of the claim that is gone, a volume waits for the next one of the name. */
function takeAgain(volume: string): string {
  return `kubectl patch persistentvolume ${volume} --type=json -p '[{"op":"remove","path":"/spec/claimRef/uid"}]'`;
}
