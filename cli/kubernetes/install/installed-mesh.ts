/** What of a mesh is in the cluster already that a second installation must not contradict. */
import { z } from "zod";
import { asList, asObject, asText, type JsonObject } from "../../../common/injection/json.ts";
import { meshConfigMap, systemNamespace } from "../../../common/injection/names.ts";
import type { Ask } from "../connect.ts";
import { failed, ok, type Finding } from "../finding.ts";
import { identityOf } from "../kustomize/resource.ts";
import { trustDomainVariable } from "./manifests.ts";

const configMap = z.object({ data: z.record(z.string(), z.string()).default({}) });
const deploymentPath = `/apis/apps/v1/namespaces/${systemNamespace}/deployments/countersign`;

/** A value that is written out in a container of the workload; undefined where there is none. */
export function variableOf(workload: JsonObject, name: string): string | undefined {
  const template = asObject(asObject(workload["spec"])?.["template"]);
  for (const container of asList(asObject(template?.["spec"])?.["containers"])) {
    const found = asList(asObject(container)?.["env"]).find((variable) => asObject(variable)?.["name"] === name);
    if (found !== undefined) return asText(asObject(found)?.["value"]);
  }
  return undefined;
}

/** The trust domain is in every identity: a control plane with another one would not know its own pods. */
export async function checkInstalledTrustDomain(ask: Ask, manifests: readonly JsonObject[]): Promise<readonly Finding[]> {
  const wanted = wantedVariable(manifests, trustDomainVariable);
  const present = await installedTrustDomain(ask);
  if (present === undefined || wanted === undefined) return [];
  if (present === wanted) return [ok(`a mesh of the trust domain ${present} is installed already, and will be brought up to date`)];
  const mend = `countersign install --trust-domain ${present}, or first countersign uninstall`;
  return [failed(`a mesh of the trust domain ${present} is installed already, and it cannot become ${wanted}`, mend)];
}

/** Where the control plane keeps its state; by default a file of its own. */
const storeVariable = "COUNTERSIGN_STORE";
const defaultStore = "sqlite";

/** Another store is empty: the certificate authority in it would be a new one, which no pod of the mesh trusts. */
export async function checkInstalledStore(ask: Ask, manifests: readonly JsonObject[]): Promise<readonly Finding[]> {
  const deployment = asObject((await ask(deploymentPath)) as JsonObject | undefined);
  if (deployment === undefined) return [];
  const present = storeOf(deployment);
  const wanted = wantedVariable(manifests, storeVariable) ?? defaultStore;
  if (present === wanted) return [];
  const text = `the mesh that is installed keeps its certificate authority in the store ${present}, and this overlay would begin a new one in ${wanted}`;
  return [failed(text, "countersign uninstall first, and restart the pods of the mesh afterwards")];
}

export function storeOf(deployment: JsonObject): string {
  return variableOf(deployment, storeVariable) ?? defaultStore;
}

function wantedVariable(manifests: readonly JsonObject[], name: string): string | undefined {
  const found = manifests.find((manifest) => {
    const { kind, name: called, namespace } = identityOf(manifest);
    return kind === "Deployment" && called === "countersign" && namespace === systemNamespace;
  });
  return found === undefined ? undefined : variableOf(found, name);
}

/** By what the control plane has told its pods, or else by what it was told. */
async function installedTrustDomain(ask: Ask): Promise<string | undefined> {
  const said = configMap.optional().parse(await ask(`/api/v1/namespaces/${systemNamespace}/configmaps/${meshConfigMap}`));
  if (said?.data["trustDomain"] !== undefined) return said.data["trustDomain"];
  const deployment = asObject((await ask(deploymentPath)) as JsonObject | undefined);
  return deployment === undefined ? undefined : variableOf(deployment, trustDomainVariable);
}
