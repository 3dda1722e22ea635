import { describe, expect, test } from "vitest";
import { InstallError } from "../../../../cli/kubernetes/install/error.ts";
import { variableOf } from "../../../../cli/kubernetes/install/installed-mesh.ts";
import { manifestsOf, overlays } from "../../../../cli/kubernetes/install/manifests.ts";
import { asList, asObject, asText, type JsonObject } from "../../../../common/injection/json.ts";

const digest = `sha256:${"0".repeat(64)}`;

function nameOf(manifest: JsonObject): string {
  return asText(asObject(manifest["metadata"])?.["name"]);
}

function only(manifests: readonly JsonObject[], kind: string, name: RegExp): JsonObject {
  const found = manifests.filter((each) => each["kind"] === kind && name.test(nameOf(each)));
  if (found.length !== 1) throw new Error(`${found.length} of ${kind} ${name.source}`);
  return found[0] as JsonObject;
}

describe.each(overlays())("the overlay %s", (overlay) => {
  const settings = (manifests: readonly JsonObject[]) => asObject(only(manifests, "ConfigMap", /^countersign-injection$/)["data"]);
  const image = (manifests: readonly JsonObject[]) => {
    const spec = asObject(asObject(only(manifests, "Deployment", /^countersign$/)["spec"])?.["template"]);
    return asObject(asList(asObject(spec?.["spec"])?.["containers"])[0])?.["image"];
  };

  test("has the image that it is given, for the control plane and for sidecars", () => {
    for (const given of ["mesh:7", `registry.example:5000/a/mesh@${digest}`, `registry.example/mesh:1.2@${digest}`]) {
      const manifests = manifestsOf({ overlay, image: given });
      expect({ image: image(manifests), settings: settings(manifests)?.["image"] }).toEqual({ image: given, settings: given });
    }
  });

  test("has the trust domain that it is given, wherever it is written, and nothing else is changed", () => {
    const before = manifestsOf({ overlay });
    const after = manifestsOf({ overlay, trustDomain: "prod.example" });
    expect(variableOf(only(after, "Deployment", /^countersign$/), "COUNTERSIGN_TRUST_DOMAIN")).toBe("prod.example");
    expect(JSON.stringify(after)).not.toContain("trustDomain: cluster.local");
    expect(after).toHaveLength(before.length);
    expect(manifestsOf({ overlay, trustDomain: "cluster.local" })).toEqual(before);
  });

  test("carries our label on everything", () => {
    const without = manifestsOf({ overlay }).filter(
      (each) =>
        each["kind"] !== "ConfigMap" && asObject(asObject(each["metadata"])?.["labels"])?.["app.kubernetes.io/part-of"] !== "countersign",
    );
    expect(without.map(nameOf)).toEqual([]);
  });
});

test.each([
  [{ overlay: "dve" }, "no-overlay", /there is no overlay "dve": expected one of .*dev/],
  [{ overlay: "../base" }, "no-overlay", /there is no overlay/],
  [{ overlay: "dev", image: "mesh" }, "bad-option", /--image "mesh": expected a name with a tag or a digest/],
  [{ overlay: "dev", image: "mesh:" }, "bad-option", /--image/],
  [{ overlay: "dev", image: "me sh:1" }, "bad-option", /--image/],
  [{ overlay: "dev", trustDomain: "Prod" }, "bad-option", /--trust-domain "Prod": /],
])("%s is refused", (options, code, message) => {
  const act = () => manifestsOf(options);
  expect(act).toThrow(InstallError);
  expect(act).toThrow(message);
  expect(act).toThrow(expect.objectContaining({ code }) as Error);
});
