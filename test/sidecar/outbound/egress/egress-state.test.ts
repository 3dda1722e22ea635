/** From resources as they are written to decisions, by way of the control plane's snapshots. */
import { describe, expect, test } from "vitest";
import { Snapshot } from "../../../../common/gen/mesh/v1/mesh.ts";
import { fromString } from "../../../../common/spiffe/id.ts";
import { buildSnapshot } from "../../../../control-plane/distribution/snapshot.ts";
import { createEgressDecider } from "../../../../sidecar/outbound/egress/decide.ts";
import { createEgressCompiler, type EgressState } from "../../../../sidecar/outbound/egress/egress-state.ts";
import { createResolver } from "../../../../sidecar/outbound/egress/resolver.ts";
import { stateFromYaml } from "../../../control-plane/mesh-state.ts";
import { createFakeClock } from "../../../fakes/clock.ts";
import { external, ownId, role, snapshot } from "./snapshots.ts";

const document = (kind: string, name: string, spec: string, namespace = "shop") =>
  `---\n{ apiVersion: countersign.dev/v1, kind: ${kind}, metadata: { name: ${name}, namespace: ${namespace} }, spec: ${spec} }\n`;

const yaml = [
  document("ExternalService", "time", "{ hosts: [time.example], ports: [{ port: 443, protocol: tls }] }", "default"),
  document("ExternalService", "pay", "{ hosts: [pay.example], ports: [{ port: 443, protocol: tls }], policy: required }"),
  document("ExternalService", "lab", "{ hosts: [lab.example], ports: [{ port: 443, protocol: tls }] }", "lab"),
  document("Service", "checkout", "{ calls: [{ external: pay.example }] }"),
  document("Service", "storefront", "{}"),
  document("Workload", "storefront", "{}"),
  document("RoleBinding", "b", "{ workload: storefront, service: checkout, role: careful }"),
  document(
    "Role",
    "careful",
    `{ trustPolicy: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: "*", Action: "sts:AssumeRole" }] },
       permissionPolicies: [{ Version: "2012-10-17", Statement: [{ Sid: NoTime, Effect: Deny, Action: "external:Connect", Resource: "*", Condition: { StringEquals: { "tcp:Port": "443" } } }] }] }`,
  ),
].join("");

/** What `account` of namespace shop is told of a TLS connection to a host. */
async function outcome(account: string, host: string): Promise<string> {
  const id = fromString(`spiffe://prod.example/ns/shop/sa/${account}`);
  const content = buildSnapshot(stateFromYaml(yaml), { bundles: [], sessionJwks: "{}" }, { spiffeId: id, address: "10.0.0.1" });
  const message = Snapshot.decode(Snapshot.encode({ ...content, revision: 1 }).finish());
  const state: EgressState = createEgressCompiler(id)(message);
  const clock = createFakeClock();
  const resolver = createResolver({ lookup: () => Promise.resolve(["203.0.113.1"]), clock });
  const decider = createEgressDecider({ state: () => state, resolver, now: clock.now });
  const decision = await decider.decide({ host, port: 443, protocol: "tls", originalDestination: "203.0.113.1" });
  return decision.allow ? "allowed" : decision.reason;
}

describe("as it is written", () => {
  test.each([
    ["checkout", "time.example", "allowed"],
    ["checkout", "pay.example", "allowed"],
    ["checkout", "lab.example", "egress-undeclared"],
    ["checkout", "evil.example", "egress-undeclared"],
    // A role that is bound to it denies.
    ["storefront", "time.example", "explicit-deny"],
    ["storefront", "pay.example", "explicit-deny"],
    // No role at all: what needs none.
    ["stranger", "time.example", "allowed"],
    ["stranger", "pay.example", "no-allow"],
  ])("%s calling %s: %s", async (account, host, expected) => {
    expect(await outcome(account, host)).toBe(expected);
  });
});

describe("compiling", () => {
  test("what did not change is taken over", () => {
    const compile = createEgressCompiler(ownId);
    const first = compile(snapshot("declared", [external("a.example", "1/tcp")], [role("r", [{ Effect: "Allow" }])]));
    expect(compile(snapshot("declared", [external("a.example", "1/tcp")], [role("r", [{ Effect: "Allow" }])]))).toBe(first);
    expect(compile(snapshot("allow", [external("a.example", "1/tcp")], [role("r", [{ Effect: "Allow" }])]))).not.toBe(first);
    expect(compile(snapshot("declared", [external("a.example", "1/tcp")], [role("r", [{ Effect: "Deny" }])]))).not.toBe(first);
  });

  test("what cannot be understood is refused as a whole", () => {
    const compile = createEgressCompiler(ownId);
    expect(() => compile(snapshot("declared", [external("a.example", "1/quic")]))).toThrow(TypeError);
    expect(() => compile(snapshot("declared", [], [role("r", [], { roleArn: "arn:aws:iam::1:role/x" })]))).toThrow(/ARN/);
  });
});
