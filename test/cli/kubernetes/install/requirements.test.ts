import { describe, expect, test } from "vitest";
import { checkInstalledStore, checkInstalledTrustDomain } from "../../../../cli/kubernetes/install/installed-mesh.ts";
import { manifestsOf } from "../../../../cli/kubernetes/install/manifests.ts";
import { checkStorage } from "../../../../cli/kubernetes/install/storage.ts";
import { KubernetesError } from "../../../../control-plane/kubernetes/error.ts";
import { fakeCluster, type Answers } from "../fake-cluster.ts";

const manifests = manifestsOf({ overlay: "dev" });
const system = "/api/v1/namespaces/countersign-system";
const deployment = (env: readonly object[]): Answers => ({
  "/apis/apps/v1/namespaces/countersign-system/deployments/countersign": { spec: { template: { spec: { containers: [{ env }] } } } },
});

describe("storage", () => {
  const claim = `${system}/persistentvolumeclaims/countersign`;
  const classes = "/apis/storage.k8s.io/v1/storageclasses";
  const volumes = "/api/v1/persistentvolumes";
  const volume = (spec: object, phase: string) => ({ items: [{ metadata: { name: "v" }, spec, status: { phase } }] });
  const none = { [classes]: { items: [] }, [volumes]: { items: [] } };
  const claimRef = { namespace: "countersign-system", name: "countersign" };
  const isDefault = { "storageclass.kubernetes.io/is-default-class": "true" };

  test.each<[string, Answers, string, RegExp]>([
    ["is bound", { [claim]: { status: { phase: "Bound" } } }, "ok", /has its volume/],
    [
      "finds a default class",
      { ...none, [classes]: { items: [{ metadata: { name: "fast", annotations: isDefault } }] } },
      "ok",
      /StorageClass fast/,
    ],
    [
      "finds a class that is not the default",
      { ...none, [classes]: { items: [{ metadata: { name: "fast" } }] } },
      "failed",
      /no default StorageClass/,
    ],
    ["finds a free volume", { ...none, [volumes]: volume({}, "Available") }, "ok", /a PersistentVolume that is there/],
    ["finds one that is kept for it", { ...none, [volumes]: volume({ claimRef }, "Available") }, "ok", /a PersistentVolume that is there/],
    [
      "finds one that is kept for another",
      { ...none, [volumes]: volume({ claimRef: { ...claimRef, name: "x" } }, "Available") },
      "failed",
      /no PersistentVolume for it/,
    ],
    [
      "finds one of another class",
      { ...none, [volumes]: volume({ storageClassName: "slow" }, "Available") },
      "failed",
      /no PersistentVolume for it/,
    ],
    [
      "finds its own of an earlier mesh",
      { ...none, [volumes]: volume({ claimRef }, "Released") },
      "failed",
      /PersistentVolume v is an earlier installation's/,
    ],
    ["finds nothing", none, "failed", /nothing gives the claim countersign/],
    ["cannot be seen", { [classes]: new KubernetesError("forbidden", "403") }, "note", /you may not list storageclasses/],
  ])("a claim that %s", async (_what, answers, state, text) => {
    const findings = await checkStorage(fakeCluster(answers).ask, manifests);
    expect(findings).toEqual([expect.objectContaining({ state, text: expect.stringMatching(text) as string })]);
  });
});

describe("a mesh that is there", () => {
  const told = (trustDomain: string): Answers => ({ [`${system}/configmaps/countersign`]: { data: { trustDomain } } });

  test.each<[string, Answers, readonly object[]]>([
    ["none", {}, []],
    ["of the same trust domain", told("cluster.local"), [{ state: "ok" }]],
    [
      "of another, as its pods know",
      told("other.example"),
      [{ state: "failed", mend: "countersign install --trust-domain other.example, or first countersign uninstall" }],
    ],
    ["of another, that has never run", deployment([{ name: "COUNTERSIGN_TRUST_DOMAIN", value: "b" }]), [{ state: "failed" }]],
  ])("%s", async (_what, answers, expected) => {
    expect(await checkInstalledTrustDomain(fakeCluster(answers).ask, manifests)).toMatchObject(expected);
  });

  test.each<[string, Answers, readonly object[]]>([
    ["none", {}, []],
    ["in the same store", deployment([]), []],
    [
      "in another store",
      deployment([{ name: "COUNTERSIGN_STORE", value: "kubernetes" }]),
      [
        {
          state: "failed",
          text: expect.stringContaining("in the store kubernetes, and this overlay would begin a new one in sqlite") as string,
        },
      ],
    ],
  ])("%s", async (_what, answers, expected) => {
    expect(await checkInstalledStore(fakeCluster(answers).ask, manifests)).toMatchObject(expected);
  });
});
