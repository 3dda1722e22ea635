/** How pods get their sidecars in this cluster, and who refuses pods without. */
import { z } from "zod";
import { settingsConfigMap, systemNamespace } from "../../../common/injection/names.ts";
import type { Ask } from "../connect.ts";

export interface InjectionStatus {
  /** `none` where neither policy nor webhook is complete. */
  readonly by: "policy" | "webhook" | "none";
  readonly guarded: boolean;
  /** That new sidecars get; undefined where the settings are missing. */
  readonly image: string | undefined;
  /** Of policy, guard and settings, what is not there. */
  readonly missing: readonly string[];
  /** What the API server says of the guard's expressions. */
  readonly warnings: readonly string[];
}

const settings = z.object({ data: z.object({ image: z.string().optional() }).prefault({}) });
const guard = z.object({
  status: z
    .object({
      typeChecking: z
        .object({ expressionWarnings: z.array(z.object({ fieldRef: z.string(), warning: z.string() })).default([]) })
        .prefault({}),
    })
    .prefault({}),
});
const admission = "/apis/admissionregistration.k8s.io/v1";

/** Throws KubernetesError. */
export async function injectionStatus(ask: Ask): Promise<InjectionStatus> {
  const [policy, binding, webhook, guardPolicy, guardBinding, found] = await Promise.all([
    ask(`${admission}/mutatingadmissionpolicies/countersign-inject`),
    ask(`${admission}/mutatingadmissionpolicybindings/countersign-inject`),
    ask(`${admission}/mutatingwebhookconfigurations/countersign-inject`),
    ask(`${admission}/validatingadmissionpolicies/countersign-guard`),
    ask(`${admission}/validatingadmissionpolicybindings/countersign-guard`),
    ask(`/api/v1/namespaces/${systemNamespace}/configmaps/${settingsConfigMap}`),
  ]);
  const byPolicy: readonly (readonly [unknown, string])[] =
    webhook === undefined
      ? [
          [policy, "MutatingAdmissionPolicy countersign-inject"],
          [binding, "MutatingAdmissionPolicyBinding countersign-inject"],
        ]
      : [];
  const needed = [
    ...byPolicy,
    [guardPolicy, "ValidatingAdmissionPolicy countersign-guard"],
    [guardBinding, "ValidatingAdmissionPolicyBinding countersign-guard"],
    [found, `ConfigMap ${systemNamespace}/${settingsConfigMap}`],
  ] as const;
  return {
    by: webhook !== undefined ? "webhook" : policy !== undefined && binding !== undefined ? "policy" : "none",
    guarded: guardPolicy !== undefined && guardBinding !== undefined,
    image: settings.safeParse(found).data?.data.image,
    missing: needed.filter(([object]) => object === undefined).map(([, name]) => name),
    warnings: (guard.safeParse(guardPolicy).data?.status.typeChecking.expressionWarnings ?? []).map(
      ({ fieldRef, warning }) => `${fieldRef}: ${warning}`,
    ),
  };
}
