import { describe, expect, test } from "vitest";
import { checkCluster } from "../../../cli/kubernetes/cluster-check.ts";
import { pluralsInCluster } from "../../../cli/kubernetes/custom-resources.ts";
import type { Finding } from "../../../cli/kubernetes/finding.ts";

const admission = "/apis/admissionregistration.k8s.io/v1";
const system = "/api/v1/namespaces/countersign-system";

const proxy = { name: "countersign-proxy", image: "countersign:1" };
const ready = { name: "countersign-proxy", ready: true, state: {} };
function pod(name: string, more: { metadata?: object; spec?: object; status?: object } = {}): object {
  return {
    metadata: { name, ...more.metadata },
    spec: { initContainers: [proxy], ...more.spec },
    status: { phase: "Running", initContainerStatuses: [ready], ...more.status },
  };
}

/** A cluster where all is well, by path; what is changed in it is told in `changes`. */
function cluster(changes: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    "/version": { major: "1", minor: "36", gitVersion: "v1.36.3" },
    [admission]: { resources: [{ name: "mutatingadmissionpolicies" }, { name: "validatingadmissionpolicies" }] },
    "/apis/countersign.dev/v1": { resources: pluralsInCluster.map((name) => ({ name })) },
    [system]: {},
    [`${admission}/mutatingadmissionpolicies/countersign-inject`]: {},
    [`${admission}/mutatingadmissionpolicybindings/countersign-inject`]: {},
    [`${admission}/validatingadmissionpolicies/countersign-guard`]: {},
    [`${admission}/validatingadmissionpolicybindings/countersign-guard`]: {},
    [`${system}/configmaps/countersign-injection`]: { data: { image: "countersign:1" } },
    "/apis/apps/v1/namespaces/countersign-system/deployments/countersign": { status: { availableReplicas: 1 } },
    "/api/v1/namespaces?labelSelector=countersign.dev%2Finject": {
      items: [{ metadata: { name: "shop", labels: { "countersign.dev/inject": "enabled" } } }],
    },
    "/api/v1/namespaces/shop/configmaps/countersign": {},
    "/api/v1/namespaces/shop/pods": { items: [pod("orders")] },
    ...changes,
  };
}

const check = async (objects: Readonly<Record<string, unknown>>) => await checkCluster(async (path) => objects[path]);
const last = (findings: readonly Finding[]) => findings.at(-1);
const pods = (...items: readonly object[]) => ({ "/api/v1/namespaces/shop/pods": { items } });

describe("check", () => {
  test("says ok of each part of a cluster where all is well", async () => {
    expect(await check(cluster())).toEqual([
      { state: "ok", text: "Kubernetes v1.36.3 can inject" },
      { state: "ok", text: "everything is installed" },
      { state: "ok", text: "the control plane is available" },
      { state: "ok", text: "namespace shop: 1 pods in the mesh" },
    ]);
  });

  test("stops at a cluster that is too old, and says what it lacks", async () => {
    expect(await check(cluster({ "/version": { major: "1", minor: "35+", gitVersion: "v1.35.1" } }))).toEqual([
      { state: "failed", text: "Kubernetes is v1.35.1, and injection needs 1.36 or later (MutatingAdmissionPolicy v1)" },
    ]);
    const [finding] = await check(cluster({ [admission]: { resources: [{ name: "validatingadmissionpolicies" }] } }));
    expect(finding).toEqual({
      state: "failed",
      text: "the API server serves no mutatingadmissionpolicies in admissionregistration.k8s.io/v1",
    });
  });

  test("names what is not installed, and how to install it", async () => {
    const finding = last(
      await check(
        cluster({
          "/apis/countersign.dev/v1": { resources: [{ name: "meshes" }] },
          [`${admission}/validatingadmissionpolicies/countersign-guard`]: undefined,
        }),
      ),
    );
    expect(finding).toMatchObject({ state: "failed", mend: "kubectl apply -k k8s/overlays/dev" });
    expect(finding?.text).toMatch(/^missing: ValidatingAdmissionPolicy countersign-guard; CustomResourceDefinitions of services, /);
  });

  test("says why the control plane does not run", async () => {
    const status = {
      phase: "Pending",
      initContainerStatuses: [],
      containerStatuses: [
        { name: "control-plane", ready: false, state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } } },
      ],
    };
    const finding = last(
      await check(
        cluster({
          "/apis/apps/v1/namespaces/countersign-system/deployments/countersign": { status: {} },
          [`${system}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dcontrol-plane`]: { items: [pod("cp", { status })] },
        }),
      ),
    );
    expect(finding?.state).toBe("failed");
    expect(finding?.text).toBe("the control plane is not available: cp: ImagePullBackOff (no such image)");
  });

  test("tells how to mesh a namespace where none is, and where a label has another value", async () => {
    const labelled = "/api/v1/namespaces?labelSelector=countersign.dev%2Finject";
    expect(last(await check(cluster({ [labelled]: { items: [] } })))).toEqual({
      state: "note",
      text: "no namespace is meshed",
      mend: "kubectl label namespace NAME countersign.dev/inject=enabled",
    });
    const items = [{ metadata: { name: "shop", labels: { "countersign.dev/inject": "true" } } }];
    expect(last(await check(cluster({ [labelled]: { items } })))).toEqual({
      state: "note",
      text: 'namespace shop is not meshed: its label countersign.dev/inject is "true"',
      mend: "kubectl label --overwrite namespace shop countersign.dev/inject=enabled",
    });
  });

  test("finds a namespace that pods wait in for the control plane's ConfigMap", async () => {
    const finding = last(await check(cluster({ "/api/v1/namespaces/shop/configmaps/countersign": undefined })));
    expect(finding).toMatchObject({
      state: "failed",
      text: expect.stringContaining("namespace shop has no ConfigMap countersign") as string,
    });
  });

  test("finds pods without a sidecar, and leaves out those that refuse or are done", async () => {
    const bare = { spec: { initContainers: [] } };
    const finding = last(
      await check(
        cluster(
          pods(
            pod("old", bare),
            pod("refuses", { ...bare, metadata: { annotations: { "countersign.dev/inject": "false" } } }),
            pod("host", { spec: { initContainers: [], hostNetwork: true } }),
            pod("done", { ...bare, status: { phase: "Succeeded" } }),
            pod("going", { ...bare, metadata: { deletionTimestamp: "2026-01-31T12:00:00Z" } }),
          ),
        ),
      ),
    );
    expect(finding).toEqual({
      state: "failed",
      text: "namespace shop: without a sidecar: old",
      mend: "kubectl rollout restart deployment,statefulset,daemonset -n shop",
    });
  });

  test("finds a sidecar that is not ready, and one of another image", async () => {
    const waiting = { initContainerStatuses: [{ ...ready, ready: false, state: { waiting: { reason: "CrashLoopBackOff" } } }] };
    expect(last(await check(cluster(pods(pod("orders", { status: waiting })))))).toEqual({
      state: "failed",
      text: "namespace shop: the sidecar of orders is not ready: CrashLoopBackOff",
      mend: "kubectl logs -n shop orders -c countersign-proxy",
    });
    const other = { spec: { initContainers: [{ ...proxy, image: "countersign:0" }] } };
    expect(last(await check(cluster(pods(pod("orders", other)))))).toMatchObject({
      state: "note",
      text: "namespace shop: with a sidecar of another image than countersign:1: orders",
    });
  });

  test("names five pods at most", async () => {
    const many = Array.from({ length: 7 }, (_, index) => pod(`p${index}`, { spec: { initContainers: [] } }));
    expect(last(await check(cluster(pods(...many))))?.text).toBe("namespace shop: without a sidecar: p0, p1, p2, p3, p4 and 2 more");
  });
});
