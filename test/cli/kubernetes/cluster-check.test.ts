import { describe, expect, test } from "vitest";
import { checkCluster } from "../../../cli/kubernetes/cluster-check.ts";
import { pluralsInCluster } from "../../../cli/kubernetes/custom-resources.ts";
import type { Finding } from "../../../cli/kubernetes/finding.ts";
import { formatStatus } from "../../../cli/kubernetes/status/print.ts";
import { meshStatus } from "../../../cli/kubernetes/status/status.ts";
import { KubernetesError } from "../../../control-plane/kubernetes/error.ts";
import { fakeCluster, type Answers } from "./fake-cluster.ts";

const admission = "/apis/admissionregistration.k8s.io/v1";
const system = "/api/v1/namespaces/countersign-system";
const deployment = "/apis/apps/v1/namespaces/countersign-system/deployments/countersign";
const service = `${system}/services/http:countersign:http-metrics/proxy/readyz`;
const trial = "trial /api/v1/namespaces/shop/pods";
const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

const proxy = { name: "countersign-proxy", image: "countersign:1" };
const readyCondition = { type: "Ready", status: "True" };
const ready = { name: "countersign-proxy", ready: true, state: { running: {} } };

function pod(name: string, more: { metadata?: object; spec?: object; status?: object } = {}): object {
  return {
    metadata: { name, ...more.metadata },
    spec: { initContainers: [proxy], containers: [], ...more.spec },
    status: { phase: "Running", conditions: [readyCondition], initContainerStatuses: [ready], ...more.status },
  };
}

const waiting = (reason: string, message = "") => ({
  phase: "Pending",
  conditions: [],
  initContainerStatuses: [{ ...ready, ready: false, state: { waiting: { reason, message } } }],
});

const container = { image: "countersign:1", env: [{ name: "COUNTERSIGN_TRUST_DOMAIN", value: "cluster.local" }] };

/** A cluster where all is well, by path; what is changed in it is told in `changes`. */
function cluster(changes: Answers = {}): Answers {
  return {
    "/version": { major: "1", minor: "36", gitVersion: "v1.36.3" },
    "/apis/countersign.dev/v1": { resources: pluralsInCluster.map((name) => ({ name })) },
    [`${admission}/mutatingadmissionpolicies/countersign-inject`]: {},
    [`${admission}/mutatingadmissionpolicybindings/countersign-inject`]: {},
    [`${admission}/validatingadmissionpolicies/countersign-guard`]: {},
    [`${admission}/validatingadmissionpolicybindings/countersign-guard`]: {},
    [`${system}/configmaps/countersign-injection`]: { data: { image: "countersign:1" } },
    [deployment]: { spec: { replicas: 1, template: { spec: { containers: [container] } } }, status: { readyReplicas: 1 } },
    [`${system}/pods`]: { items: [pod("cp")] },
    [`${system}/pods/cp:15014/proxy/metrics`]: "# HELP x\ncountersign_store_revision 12\ncountersign_connected_sidecars 3\nother 1\n",
    [service]: "{}",
    "/api/v1/namespaces": { items: [{ metadata: { name: "shop", labels: { "countersign.dev/inject": "enabled" } } }] },
    "/api/v1/namespaces/shop/configmaps/countersign": {},
    [trial]: pod("trial"),
    "/api/v1/namespaces/shop/pods": { items: [pod("orders")] },
    ...changes,
  };
}

const check = async (objects: Answers) => await checkCluster(fakeCluster(objects), "dev", 0);
const bad = async (changes: Answers) => (await check(cluster(changes))).filter(({ state }) => state !== "ok");
const pods = (...items: readonly object[]): Answers => ({ "/api/v1/namespaces/shop/pods": { items } });
const events = (...items: readonly object[]): Answers => ({ "/api/v1/namespaces/shop/events": { items } });

describe("check", () => {
  test("says ok of each part of a cluster where all is well", async () => {
    expect(await check(cluster())).toEqual([
      { state: "ok", text: "Kubernetes v1.36.3" },
      { state: "ok", text: "the control plane is ready" },
      { state: "ok", text: "pods are injected by policy, and guarded" },
      { state: "ok", text: "namespace shop: 1 pod in the mesh" },
      { state: "ok", text: "the Service countersign answers" },
      { state: "ok", text: "namespace shop: a pod that is made now gets its sidecar" },
    ]);
  });

  test("says of a cluster without a mesh what it lacks for one", async () => {
    const findings = await check({ "/version": { gitVersion: "v1.35.1" } });
    expect(findings.map(({ text }) => text)).toContain(
      "Kubernetes v1.35.1 serves no MutatingAdmissionPolicy of admissionregistration.k8s.io/v1: injection by policy needs Kubernetes 1.36 or later, with admissionregistration.k8s.io/v1 as it comes",
    );
    expect(findings.every(({ state }) => state === "failed")).toBe(true);
  });

  test("names what is not installed, and how to install it", async () => {
    const findings = await bad({
      "/apis/countersign.dev/v1": { resources: [{ name: "meshes" }] },
      [`${admission}/validatingadmissionpolicies/countersign-guard`]: undefined,
    });
    expect(findings).toEqual([
      { state: "failed", text: "missing: ValidatingAdmissionPolicy countersign-guard", mend: "countersign install" },
      {
        state: "failed",
        text: expect.stringMatching(/^missing: CustomResourceDefinitions of services, /) as string,
        mend: "countersign install",
      },
    ]);
    expect(await bad({ [deployment]: undefined })).toEqual([
      { state: "failed", text: "there is no control plane: no Deployment countersign", mend: "countersign install" },
    ]);
  });

  test("says what the API server says of the guard's expressions", async () => {
    const guard = { status: { typeChecking: { expressionWarnings: [{ fieldRef: "spec.x", warning: "no such key" }] } } };
    expect(await bad({ [`${admission}/validatingadmissionpolicies/countersign-guard`]: guard })).toEqual([
      { state: "failed", text: "ValidatingAdmissionPolicy countersign-guard: spec.x: no such key", mend: "countersign install" },
    ]);
  });

  test("says why the control plane does not run, and does not ask it", async () => {
    const status = { ...waiting("ImagePullBackOff", "no such\n  image"), initContainerStatuses: [], containerStatuses: [] as object[] };
    status.containerStatuses = [
      { name: "control-plane", ready: false, state: { waiting: { reason: "ImagePullBackOff", message: "no such\n image" } } },
    ];
    const none = { spec: { replicas: 1 }, status: {} };
    expect(await bad({ [deployment]: none, [`${system}/pods`]: { items: [pod("cp", { status })] }, [service]: undefined })).toEqual([
      {
        state: "failed",
        text: "the control plane's pod cp is not ready: ImagePullBackOff of control-plane: no such image",
        mend: "countersign install --image NAME:TAG, with an image that the node has or can pull",
      },
    ]);
    expect(await bad({ [deployment]: none, [`${system}/pods`]: { items: [] } })).toMatchObject([{ text: "the control plane has no pod" }]);
    const going = pod("cp", { metadata: { deletionTimestamp: "2026-01-31T12:00:00Z" } });
    expect(await bad({ [deployment]: none, [`${system}/pods`]: { items: [going] } })).toMatchObject([
      { text: "the control plane's next pod waits until cp has ended" },
    ]);
    expect(await bad({ [deployment]: { spec: { replicas: 0 } }, [`${system}/pods`]: { items: [] } })).toMatchObject([
      { text: "the control plane has no replica", mend: "kubectl scale -n countersign-system deployment/countersign --replicas=1" },
    ]);
  });

  test("says that the Service does not answer", async () => {
    expect(await bad({ [service]: new KubernetesError("server-error", "503 no endpoints") })).toMatchObject([
      { state: "failed", text: "the Service countersign does not answer: 503 no endpoints" },
    ]);
    expect(await bad({ [service]: new KubernetesError("forbidden", "403") })).toMatchObject([{ state: "note" }]);
  });

  test.each([
    ["2026-01-31T12:00:00.000000Z", "2026-01-31T12:00:03Z", []],
    [
      "2026-01-31T12:00:10.000000Z",
      "2026-01-31T12:00:00Z",
      [{ state: "note", text: "the clock of node n is 10 s ahead of the API server's" }],
    ],
    [
      "2026-01-31T12:00:00.000000Z",
      "2026-01-31T12:02:00Z",
      [{ state: "failed", text: "the clock of node n is 120 s behind the API server's" }],
    ],
  ])("a kubelet that writes %s at %s", async (renewTime, time, expected) => {
    const lease = { metadata: { name: "n", managedFields: [{ time: "2026-01-01T00:00:00Z" }, { time }] }, spec: { renewTime } };
    expect(await bad({ [leases]: { items: [lease] } })).toMatchObject(expected);
  });

  test.each([
    [pod("trial", { spec: { initContainers: [] } }), "failed", "a pod that is made now would get no sidecar"],
    [
      pod("trial", { spec: { initContainers: [{ ...proxy, image: "countersign:0" }] } }),
      "failed",
      "would get the sidecar countersign:0, though the settings name countersign:1",
    ],
    [
      new KubernetesError("forbidden", "ValidatingAdmissionPolicy 'countersign-guard' denied"),
      "failed",
      "would be refused: ValidatingAdmissionPolicy",
    ],
    [new KubernetesError("forbidden", "exceeded quota"), "note", "would be refused: exceeded quota"],
    [new KubernetesError("forbidden", 'User "x" cannot create resource "pods"'), "note", "you may not create pods"],
  ])("tries a pod: %s", async (answer, state, text) => {
    expect(await bad({ [trial]: answer })).toEqual([expect.objectContaining({ state, text: expect.stringContaining(text) as string })]);
  });

  test("says so to a user who may not look", async () => {
    expect(await check(cluster({ "/api/v1/namespaces": new KubernetesError("forbidden", "GET /api/v1/namespaces: 403") }))).toEqual([
      { state: "failed", text: "you may not see what has to be checked: GET /api/v1/namespaces: 403", mend: "kubectl auth whoami" },
    ]);
  });
});

describe("namespaces", () => {
  test("tells how to mesh one where none is, and where a label has another value", async () => {
    expect(await bad({ "/api/v1/namespaces": { items: [] } })).toEqual([
      { state: "note", text: "no namespace is meshed", mend: "kubectl label namespace NAME countersign.dev/inject=enabled" },
    ]);
    const items = [{ metadata: { name: "shop", labels: { "countersign.dev/inject": "true" } } }];
    expect(await bad({ "/api/v1/namespaces": { items } })).toEqual([
      {
        state: "note",
        text: 'namespace shop is not meshed: its label countersign.dev/inject is "true"',
        mend: "kubectl label --overwrite namespace shop countersign.dev/inject=enabled",
      },
    ]);
  });

  test("finds one that pods wait in for the control plane's ConfigMap", async () => {
    expect(await bad({ "/api/v1/namespaces/shop/configmaps/countersign": undefined })).toMatchObject([
      { state: "failed", text: expect.stringContaining("namespace shop has no ConfigMap countersign") as string },
    ]);
  });

  test("finds pods without a sidecar, and leaves out those that refuse or are done", async () => {
    const bare = { spec: { initContainers: [] } };
    const findings = await bad(
      pods(
        pod("old", bare),
        pod("refuses", { ...bare, metadata: { annotations: { "countersign.dev/inject": "false" } } }),
        pod("host", { spec: { initContainers: [], hostNetwork: true } }),
        pod("done", { ...bare, status: { phase: "Succeeded" } }),
        pod("going", { ...bare, metadata: { deletionTimestamp: "2026-01-31T12:00:00Z" } }),
      ),
    );
    expect(findings).toEqual([
      {
        state: "failed",
        text: "namespace shop: without a sidecar: old",
        mend: "kubectl rollout restart deployment,statefulset,daemonset -n shop",
      },
    ]);
  });

  const event = (reason: string, message: string, lastTimestamp: string, more: object = {}) => ({
    type: "Warning",
    reason,
    message,
    lastTimestamp,
    involvedObject: { kind: "Pod", name: "orders" },
    ...more,
  });
  const creating = pod("orders", { status: waiting("PodInitializing") });

  test.each<[string, Answers, string, string]>([
    [
      "waits for an image",
      pods(pod("orders", { status: waiting("ErrImageNeverPull", "not there") })),
      "ErrImageNeverPull of countersign-proxy: not there",
      "countersign install --image NAME:TAG, with an image that the node has or can pull",
    ],
    [
      "ended",
      {
        ...pods(
          pod("orders", {
            status: {
              ...waiting("CrashLoopBackOff", "back-off"),
              initContainerStatuses: [
                { ...ready, ready: false, state: { waiting: { reason: "CrashLoopBackOff" } }, lastState: { terminated: { exitCode: 1 } } },
              ],
            },
          }),
        ),
        "/api/v1/namespaces/shop/pods/orders/log": 'first\n{"msg":"the control plane refuses","err":{"message":"unknown token"}}\n',
      },
      "CrashLoopBackOff of countersign-proxy: it ended with 1; it said: first / the control plane refuses: unknown token",
      "kubectl logs -n shop orders -c countersign-proxy --previous",
    ],
    [
      "is not scheduled",
      pods(
        pod("orders", {
          status: {
            phase: "Pending",
            conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message: "0/1 nodes" }],
            initContainerStatuses: [],
          },
        }),
      ),
      "Unschedulable: 0/1 nodes",
      "kubectl describe pod -n shop orders",
    ],
    [
      "has no volume",
      {
        ...pods(creating),
        ...events(
          event("FailedMount", 'configmap "countersign" not found', "2026-01-31T12:00:00Z"),
          event("Other", "before", "2026-01-31T11:00:00Z"),
        ),
      },
      'FailedMount of countersign-proxy: configmap "countersign" not found',
      "kubectl logs -n countersign-system deployment/countersign",
    ],
    [
      "is pulling",
      { ...pods(creating), ...events(event("Pulling", 'Pulling image "x:1"', "2026-01-31T12:00:00Z", { type: "Normal" })) },
      'Pulling of countersign-proxy: Pulling image "x:1"',
      "kubectl logs -n shop orders -c countersign-proxy",
    ],
    [
      "runs and is not ready",
      pods(pod("orders", { status: { conditions: [], initContainerStatuses: [{ ...ready, ready: false }] } })),
      "NotReady of countersign-proxy",
      "kubectl logs -n shop orders -c countersign-proxy",
    ],
  ])("says of a pod that %s why, and what to do", async (_what, changes, why, mend) => {
    expect(await bad(changes)).toEqual([{ state: "failed", text: `namespace shop: orders is not ready: ${why}`, mend }]);
  });

  test("says what cannot make its pods, unless it could since", async () => {
    const owner = { involvedObject: { kind: "ReplicaSet", name: "web" } };
    const refused = event("FailedCreate", "forbidden:\n too much", "2026-01-31T12:00:00Z", owner);
    expect(await bad(events(refused))).toMatchObject([
      { text: "namespace shop: ReplicaSet web cannot make its pods: forbidden: too much" },
    ]);
    expect(await bad(events(refused, event("SuccessfulCreate", "made", "2026-01-31T12:00:01Z", { ...owner, type: "Normal" })))).toEqual([]);
  });

  test("finds sidecars of another image", async () => {
    const other = { spec: { initContainers: [{ ...proxy, image: "countersign:0" }] } };
    expect(await bad(pods(pod("orders", other)))).toMatchObject([
      { state: "note", text: "namespace shop: with a sidecar of another image than countersign:1: orders" },
    ]);
  });

  test("names five pods at most", async () => {
    const many = Array.from({ length: 7 }, (_, index) => pod(`p${index}`, { spec: { initContainers: [] } }));
    const [finding]: readonly (Finding | undefined)[] = await bad(pods(...many));
    expect(finding?.text).toBe("namespace shop: without a sidecar: p0, p1, p2, p3, p4 and 2 more");
  });
});

describe("custom resources", () => {
  const resource = (conditions: readonly object[], generation = 2) => ({
    "/apis/countersign.dev/v1/services": { items: [{ metadata: { name: "web", namespace: "shop", generation }, status: { conditions } }] },
  });
  const condition = (type: string, status: string, reason: string, observedGeneration = 2) => ({
    type,
    status,
    reason,
    message: "m",
    observedGeneration,
  });
  const accepted = condition("Accepted", "True", "Accepted");

  test.each<[string, readonly object[], readonly object[]]>([
    ["is in force", [accepted, condition("Enforced", "True", "Enforced")], []],
    [
      "is not accepted",
      [condition("Accepted", "False", "Invalid")],
      [
        {
          state: "failed",
          text: "services/web -n shop is not Accepted: Invalid: m",
          mend: "kubectl describe services.countersign.dev/web -n shop",
        },
      ],
    ],
    [
      "is on its way",
      [accepted, condition("Enforced", "False", "Distributing")],
      [{ state: "note", text: "services/web -n shop is not Enforced: Distributing: m" }],
    ],
    [
      "was looked at before it was changed",
      [condition("Accepted", "True", "Accepted", 1)],
      [{ state: "failed", text: expect.stringContaining("has not looked at this version yet") as string }],
    ],
  ])("one that %s", async (_what, conditions, expected) => {
    expect(await bad(resource(conditions))).toMatchObject(expected);
  });
});

describe("status", () => {
  const page = async (changes: Answers = {}) => formatStatus(await meshStatus(fakeCluster(cluster(changes))));

  test("is one page", async () => {
    const lease = { metadata: { name: "controllers" }, spec: { holderIdentity: "cp" } };
    const refuses = pod("apart", { metadata: { annotations: { "countersign.dev/inject": "false" } } });
    const changes = {
      "/apis/coordination.k8s.io/v1/namespaces/countersign-system/leases": { items: [lease] },
      ...pods(pod("orders"), pod("bare", { spec: { initContainers: [] } }), refuses),
    };
    expect(await page(changes)).toBe(`control plane   1 of 1 ready, image countersign:1
                trust domain cluster.local, store sqlite
                revision 12, 3 sidecars connected, controllers held by cp
injection       by policy, guarded, image countersign:1
resources       none

NAMESPACE  IN THE MESH  READY  WITHOUT SIDECAR  LEFT ALONE
shop       1            1      1                1

FAILED namespace shop: without a sidecar: bare
         kubectl rollout restart deployment,statefulset,daemonset -n shop
`);
  });

  test("says so where there is no mesh", async () => {
    expect(formatStatus(await meshStatus(fakeCluster({})))).toBe("FAILED the mesh is not installed\n         countersign install\n");
  });
});
