import { describe, expect, test } from "vitest";
import { KustomizeError } from "../../../cli/kubernetes/kustomize/error.ts";
import { render } from "../../../cli/kubernetes/kustomize/render.ts";

const head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n";
const web = `apiVersion: v1
kind: Service
metadata: { name: web }
spec: { ports: [{ port: 80 }] }
`;

/** Of a folder `o` with that kustomization, and the file `web.yaml`. */
function rendered(kustomization: string, files: Readonly<Record<string, string>> = {}): readonly object[] {
  const all: Readonly<Record<string, string>> = { "o/kustomization.yaml": kustomization, "o/web.yaml": web, ...files };
  return render("o", (path) => {
    const text = all[path];
    if (text === undefined) throw new KustomizeError("unreadable", `${path}: no such file`);
    return text;
  });
}

function refusal(kustomization: string, files: Readonly<Record<string, string>> = {}): object {
  try {
    return rendered(`${head}${kustomization}`, files);
  } catch (error) {
    if (!(error instanceof KustomizeError)) throw error;
    return { code: error.code, message: error.message };
  }
}

describe("render", () => {
  test("reads YAML as kubectl does", () => {
    expect(
      rendered(`${head}resources: [web.yaml]`, {
        "o/web.yaml": `${web}  mode: 0440\n`.replace("spec: {", "x: 010\nspec: {").replace("  mode: 0440\n", ""),
      }),
    ).toMatchObject([{ x: 8 }]);
  });

  test.each([
    [
      "resources: [web.yaml]\nnamespace: other",
      "unsupported",
      "o/kustomization.yaml: namespace: not among what is rendered here: use kubectl apply -k",
    ],
    [
      "resources: [web.yaml]\nsecretGenerator: []\nnamePrefix: a-",
      "unsupported",
      "o/kustomization.yaml: secretGenerator, namePrefix: not among what",
    ],
    [
      "resources: [web.yaml]\nlabels: [{ pairs: { a: b }, includeSelectors: true }]",
      "invalid",
      "o/kustomization.yaml: labels.0.includeSelectors: ",
    ],
    ["resources: ['https://example.com/x.yaml']", "unsupported", "o/kustomization.yaml: https://example.com/x.yaml: only files"],
    ["resources: [missing.yaml]", "unreadable", "o/missing.yaml: no such file"],
    ["resources: [web.yaml, web.yaml]", "invalid", "o/kustomization.yaml: Service web is there twice"],
    ["resources: [web.yaml]\npatches: [{ patch: '[{ op: remove, path: /a }]' }]", "invalid", "needs a target"],
    [
      "resources: [web.yaml]\npatches: [{ target: { kind: Service }, patch: '[{ op: remove, path: /a }]' }]",
      "no-target",
      "remove /a: there is no such place",
    ],
    [
      "resources: [web.yaml]\npatches: [{ target: { kind: Service }, patch: '[{ op: replace, path: /metadata/name, value: x }]' }]",
      "unsupported",
      "changes what Service web is called",
    ],
    ["resources: [web.yaml]\npatches: [{ target: { kind: Service }, patch: '[{ op: frob, path: /a }]' }]", "invalid", "not a JSON patch"],
    [
      "resources: [web.yaml]\npatches: [{ patch: '{ apiVersion: v1, kind: Service, metadata: { name: x } }' }]",
      "no-target",
      "there is no Service x to be patched",
    ],
    [
      "resources: [web.yaml]\npatches: [{ patch: '{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { $retainKeys: [a] } }' }]",
      "unsupported",
      "$retainKeys",
    ],
    [
      "resources: [web.yaml]\npatches: [{ patch: '{ apiVersion: v1, kind: Service, metadata: { name: web }, spec: { ports: [{ port: 80, protocol: TCP }] } }' }]",
      "unsupported",
      "port 80: say protocol in the manifest and in the patch, or in neither",
    ],
    [
      "resources: [web.yaml]\nreplacements: [{ source: { kind: Pod }, targets: [] }]",
      "no-target",
      'the source {"kind":"Pod"} selects 0 manifests',
    ],
    [
      "resources: [web.yaml]\nreplacements: [{ sourceValue: a, targets: [{ select: { kind: Service }, fieldPaths: [spec.x] }] }]",
      "no-target",
      "Service web has no field spec.x",
    ],
    ["resources: [web.yaml]\nconfigMapGenerator: [{ name: a, literals: [b=1, b=2] }]", "invalid", "the ConfigMap a would have b twice"],
    ["resources: [web.yaml]\npatches: [{ target: { labelSelector: 'a in (b)' }, patch: '[]' }]", "unsupported", 'the selector "a in (b)"'],
  ])("refuses %s", (kustomization, code, message) => {
    expect(refusal(kustomization)).toEqual({ code, message: expect.stringContaining(message) as string });
  });

  test("refuses what is no manifest, and lists of manifests", () => {
    expect(refusal("resources: [web.yaml]", { "o/web.yaml": "kind: Service\n" })).toMatchObject({
      code: "invalid",
      message: "o/web.yaml: expected apiVersion, kind and metadata.name",
    });
    expect(refusal("resources: [web.yaml]", { "o/web.yaml": "a: [\n" })).toMatchObject({ code: "unreadable" });
    const list = "apiVersion: v1\nkind: List\nmetadata: { name: x }\nitems: []\n";
    expect(refusal("resources: [web.yaml]", { "o/web.yaml": list })).toMatchObject({ code: "unsupported" });
  });
});
