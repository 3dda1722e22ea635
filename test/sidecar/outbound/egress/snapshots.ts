/** The parts of a snapshot that concern calls out of the mesh, made short. */
import type { ExternalService, RolePermissions, Snapshot } from "../../../../common/gen/mesh/v1/mesh.ts";
import { createEgressCompiler, type EgressState } from "../../../../sidecar/outbound/egress/egress-state.ts";

export const ownId = "spiffe://test.example/ns/shop/sa/caller";

/** `hosts` and `ports` in words: `a.example b.example`, `443/tls 80/http`. */
export function external(hosts: string, ports: string, rest: Partial<ExternalService> = {}): ExternalService {
  return {
    namespace: "shop",
    name: "x",
    hosts: hosts.split(" "),
    ports: ports.split(" ").map((text) => {
      const [port = "", protocol = ""] = text.split("/");
      return { port: Number(port), protocol };
    }),
    addresses: [],
    policyRequired: false,
    ...rest,
  };
}

export interface StatementText {
  readonly Effect: "Allow" | "Deny";
  readonly Action?: string;
  readonly Resource?: string;
  readonly Condition?: object;
}

/** A host's ARN, as policies of this caller's namespace write it. */
export const arn = (host: string) => `arn:mesh:external:test.example:shop:${host}`;

export function role(
  name: string,
  statements: readonly StatementText[],
  rest: Partial<RolePermissions> = {},
  mode = "enforce",
): RolePermissions {
  return {
    roleArn: `arn:mesh:iam:test.example:shop:role/${name}`,
    policies: [{ name: `${name}-policy`, document: policy(statements), mode, statementIndexes: statements.map((_, index) => index) }],
    permissionsBoundary: "",
    tags: {},
    ...rest,
  };
}

export function policy(statements: readonly StatementText[]): string {
  const Statement = statements.map((statement) => ({ Action: "external:Connect", Resource: "*", ...statement }));
  return JSON.stringify({ Version: "2012-10-17", Statement });
}

export function snapshot(
  egress: string,
  externalServices: readonly ExternalService[],
  ownRoles: readonly RolePermissions[] = [],
): Snapshot {
  return { mesh: { trustDomain: "test.example", egress }, externalServices, ownRoles } as unknown as Snapshot;
}

export function egressState(egress: string, services: readonly ExternalService[], roles: readonly RolePermissions[] = []): EgressState {
  return createEgressCompiler(ownId)(snapshot(egress, services, roles));
}
