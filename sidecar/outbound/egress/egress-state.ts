/** What a snapshot says of calls out of the mesh, compiled. Immutable; what did not change is taken over from the one before. */
import type { Snapshot } from "../../../common/gen/mesh/v1/mesh.ts";
import { fromString, identityOf } from "../../../common/spiffe/id.ts";
import { compileExternalServices, type ExternalServices } from "./external-services.ts";
import { compileEgressPermissions, type EgressPermissions } from "./permissions.ts";

export interface EgressState {
  /** `declared`: what is not listed is refused. */
  readonly mode: "allow" | "declared";
  readonly services: ExternalServices;
  readonly permissions: EgressPermissions;
}

/** Before the first snapshot nothing leaves. */
export const noEgress: EgressState = {
  mode: "declared",
  services: compileExternalServices([]),
  permissions: compileEgressPermissions([], { spiffeId: "", trustDomain: "", namespace: "" }),
};

/**
 * `ownId`: SPIFFE id of this sidecar. The compiler throws TypeError or PolicyError for a snapshot that cannot be understood;
 * a policy that cannot be read denies instead.
 */
export function createEgressCompiler(ownId: string): (snapshot: Snapshot) => EgressState {
  const identity = identityOf(fromString(ownId));
  const namespace = identity.kind === "workload" ? identity.namespace : "default";
  let held: { readonly text: string; readonly state: EgressState } | undefined;

  return ({ mesh, externalServices, ownRoles }) => {
    const trustDomain = mesh?.trustDomain ?? identity.trustDomain;
    const text = JSON.stringify([mesh?.egress, trustDomain, externalServices, ownRoles]);
    if (held?.text === text) return held.state;
    const state: EgressState = {
      // Only the word itself opens the mesh.
      mode: mesh?.egress === "allow" ? "allow" : "declared",
      services: compileExternalServices(externalServices),
      permissions: compileEgressPermissions(ownRoles, { spiffeId: ownId, trustDomain, namespace }),
    };
    held = { text, state };
    return state;
  };
}
