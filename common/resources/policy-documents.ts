/** The IAM documents inside resources, held to their grammar by common/policy with the positions of the text around them. */
import { policyFromSource } from "../policy/document.ts";
import type { PolicyKind } from "../policy/document.ts";
import { PolicyError } from "../policy/error.ts";
import type { ResourceProblem } from "./error.ts";
import { formatPath } from "./issue.ts";
import type { Path } from "./issue.ts";
import type { Resource } from "./resource.ts";
import type { YamlDocument } from "./yaml-text.ts";

interface DocumentPlace {
  readonly path: Path;
  readonly kind: PolicyKind;
}

function documentsIn(resource: Resource): readonly DocumentPlace[] {
  if (resource.kind === "Policy") return [{ path: ["spec", "document"], kind: "identity" }];
  if (resource.kind === "Service")
    return resource.spec.resourcePolicy === undefined ? [] : [{ path: ["spec", "resourcePolicy"], kind: "resource" }];
  if (resource.kind !== "Role") return [];
  const { permissionPolicies, permissionsBoundary } = resource.spec;
  const places: DocumentPlace[] = [{ path: ["spec", "trustPolicy"], kind: "trust" }];
  for (const [index, policy] of permissionPolicies.entries()) {
    if (typeof policy !== "string") places.push({ path: ["spec", "permissionPolicies", index], kind: "identity" });
  }
  if (typeof permissionsBoundary === "object") places.push({ path: ["spec", "permissionsBoundary"], kind: "identity" });
  return places;
}

/** What is wrong with the policies in `resource`, which was read from `document`: the first mistake of each. */
export function policyProblems(resource: Resource, document: YamlDocument): readonly ResourceProblem[] {
  return documentsIn(resource).flatMap(({ path, kind }) => {
    const root = document.sourceAt(path);
    if (root === undefined) return [];
    try {
      policyFromSource({ root, text: document.text }, kind);
      return [];
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      const place = document.problemAt(path, false, "", error.problem);
      const inner = error.path === "" ? "" : `.${error.path}`;
      return [{ ...place, line: error.line ?? place.line, column: error.column ?? place.column, path: formatPath(path) + inner }];
    }
  });
}
