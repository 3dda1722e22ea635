/** What `countersign install` renders is what kubectl renders. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { overlays } from "../../cli/kubernetes/install/manifests.ts";
import { render } from "../../cli/kubernetes/kustomize/render.ts";
import { because, missingCluster, theCluster } from "./harness.ts";
import { everything } from "./kustomize/files.ts";

const root = join(import.meta.dirname, "../../k8s/overlays");

describe.skipIf(missingCluster !== undefined)(`kustomize${because(missingCluster)}`, () => {
  /** As kubectl apply would read its output. */
  const byKubectl = async (folder: string): Promise<readonly unknown[]> => {
    const documents = parseAllDocuments(await theCluster().kubectl(["kustomize", folder]), { version: "1.1" });
    return [...documents].map((document) => document.toJS() as unknown);
  };

  test.each(overlays())("the overlay %s is the same, in the same order", async (overlay) => {
    expect(render(join(root, overlay))).toEqual(await byKubectl(join(root, overlay)));
  });

  test("and so is a kustomization with everything that is rendered", async () => {
    const folder = await mkdtemp(join(tmpdir(), "countersign-kustomize-"));
    try {
      for (const [path, text] of Object.entries(everything)) {
        await mkdir(dirname(join(folder, path)), { recursive: true });
        await writeFile(join(folder, path), text);
      }
      expect(render(join(folder, "overlay"))).toEqual(await byKubectl(join(folder, "overlay")));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
