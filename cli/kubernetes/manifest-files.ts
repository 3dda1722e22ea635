/** The files of k8s/base that are made from the sources, and their texts. */
import { join } from "node:path";
import { Document } from "yaml";
import type { Json } from "../../common/injection/cel.ts";
import { customResourceDefinitions } from "./custom-resources.ts";
import { guardManifests } from "./guard-policy.ts";
import { injectionManifests } from "./injection-policy.ts";

const note =
  " Made by cli/kubernetes/generate-manifests.ts from the sources beside it, common/injection and common/resources; change those.";

/** Path from the project's root → text. */
export function manifestFiles(): ReadonlyMap<string, string> {
  const base = (file: string) => join("k8s/base", file);
  return new Map([
    [base("crds.yaml"), textOf(customResourceDefinitions())],
    [base("injection.yaml"), textOf(injectionManifests())],
    [base("guard.yaml"), textOf(guardManifests())],
  ]);
}

function textOf(manifests: readonly Json[]): string {
  return manifests
    .map((manifest, index) => {
      const document = new Document(manifest, { aliasDuplicateObjects: false });
      if (index === 0) document.commentBefore = note;
      return document.toString({ lineWidth: 0, blockQuote: "literal" });
    })
    .join("---\n");
}
