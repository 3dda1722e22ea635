import { describe, expect, test } from "vitest";
import type { RolePermissions } from "../../../../common/gen/mesh/v1/mesh.ts";
import type { Protocol } from "../../../../sidecar/detect/protocol.ts";
import { compileEgressPermissions } from "../../../../sidecar/outbound/egress/permissions.ts";
import { arn, ownId, policy, role, type StatementText } from "./snapshots.ts";

const caller = { spiffeId: ownId, trustDomain: "test.example", namespace: "shop" };
const noon = Date.UTC(2026, 0, 15, 12);

function judge(roles: readonly RolePermissions[], listed: boolean, host = "api.example", protocol: Protocol = "tls") {
  return compileEgressPermissions(roles, caller).judge({ host, port: 443, protocol }, listed, noon);
}

const allow = (host: string, rest: Partial<StatementText> = {}): StatementText => ({ Effect: "Allow", Resource: arn(host), ...rest });
const deny = (host: string, rest: Partial<StatementText> = {}): StatementText => ({ Effect: "Deny", Resource: arn(host), ...rest });

describe("a host that needs no policy", () => {
  test.each([
    ["no role at all", []],
    ["a role that says nothing of it", [role("r", [allow("other.example")])]],
    ["a role whose boundary does not reach it", [role("r", [], { permissionsBoundary: policy([allow("other.example")]) })]],
  ])("is allowed with %s", (_name, roles) => {
    expect(judge(roles, true)).toMatchObject({ denied: undefined, statement: { policy: "external-service" } });
  });

  test.each([
    ["by its name", deny("api.example")],
    ["by a wildcard", deny("*.example")],
    ["by every action", deny("api.example", { Action: "*" })],
    ["of every host", { Effect: "Deny" as const }],
    ["in every namespace", { Effect: "Deny" as const, Resource: "arn:mesh:external:*:*:api.example" }],
  ])("is refused by a Deny %s, of any role", (_name, statement) => {
    const roles = [role("a", [allow("*")]), role("b", [allow("x.example"), statement])];
    expect(judge(roles, true)).toEqual({
      denied: "explicit-deny",
      statement: { policy: "b-policy", sid: undefined, index: 1 },
      wouldDeny: undefined,
    });
  });

  test("is refused by a Deny of a boundary", () => {
    expect(judge([role("r", [], { permissionsBoundary: policy([deny("api.example")]) })], true).denied).toBe("explicit-deny");
  });

  test("is refused where a policy cannot be read: it may have denied", () => {
    const unreadable = { name: "gone", document: "{}", mode: "enforce", statementIndexes: [] };
    expect(judge([role("r", [], { policies: [unreadable] })], true)).toMatchObject({
      denied: "invalid-policy",
      statement: { policy: "gone" },
    });
  });
});

describe("a host that needs a policy", () => {
  test.each([
    ["no role", [], "no-allow"],
    ["a role that allows another", [role("r", [allow("other.example")])], "no-allow"],
    ["a role that allows the port's service, not the host", [role("r", [{ Effect: "Allow", Action: "api:*" }])], "no-allow"],
    [
      "a role that allows it in another namespace",
      [role("r", [{ Effect: "Allow", Resource: "arn:mesh:external:test.example:lab:api.example" }])],
      "no-allow",
    ],
    ["a role whose boundary does not", [role("r", [allow("*")], { permissionsBoundary: policy([allow("other.example")]) })], "boundary"],
    ["one that allows and one that denies", [role("a", [allow("*")]), role("b", [deny("*")])], "explicit-deny"],
  ])("is refused with %s", (_name, roles, reason) => {
    expect(judge(roles, false).denied).toBe(reason);
  });

  test("is allowed by one of several roles, each within its own boundary", () => {
    const bounded = role("a", [allow("*")], { permissionsBoundary: policy([allow("other.example")]) });
    const roles = [bounded, role("b", [allow("x.example")]), role("c", [allow("api.example")])];
    expect(judge(roles, false)).toMatchObject({ denied: undefined, statement: { policy: "c-policy", index: 0 } });
  });

  test("tells no upper from lower case in the action", () => {
    expect(judge([role("r", [allow("api.example", { Action: "External:connect" })])], false).denied).toBeUndefined();
  });
});

describe("conditions", () => {
  const under = (Condition: object, tags: Record<string, string> = {}, protocol: Protocol = "tls") =>
    judge([role("r", [allow("api.example", { Condition })], { tags })], false, "api.example", protocol).denied;

  test.each([
    ["the port", { StringEquals: { "tcp:Port": "443" } }, { StringEquals: { "tcp:Port": "80" } }],
    [
      "the role",
      { StringEquals: { "aws:PrincipalArn": "arn:mesh:iam:test.example:shop:role/r" } },
      { StringEquals: { "aws:PrincipalArn": "x" } },
    ],
    ["the workload", { StringEquals: { "mesh:SourceIdentity": ownId } }, { StringEquals: { "mesh:SourceIdentity": "x" } }],
    ["its namespace", { StringEquals: { "mesh:SourceNamespace": "shop" } }, { StringEquals: { "mesh:SourceNamespace": "lab" } }],
    [
      "its trust domain",
      { StringEquals: { "mesh:SourceTrustDomain": "test.example" } },
      { StringEquals: { "mesh:SourceTrustDomain": "x" } },
    ],
    ["whether it is encrypted", { Bool: { "aws:SecureTransport": "true" } }, { Bool: { "aws:SecureTransport": "false" } }],
    ["a role's tag", { StringEquals: { "aws:PrincipalTag/Team": "pay" } }, { StringEquals: { "aws:PrincipalTag/Team": "x" } }],
  ])("may ask for %s", (_name, met, unmet) => {
    expect(under(met, { team: "pay" })).toBeUndefined();
    expect(under(unmet, { team: "pay" })).toBe("no-allow");
  });

  test("what is not known of a call is absent", () => {
    expect(under({ StringEquals: { "http:Host": "api.example" } })).toBe("no-allow");
    expect(under({ StringEquals: { "http:Host": "api.example" } }, {}, "http1")).toBeUndefined();
    expect(under({ StringLike: { "http:Path": "*" } }, {}, "http1")).toBe("no-allow");
    expect(under({ StringLike: { "aws:PrincipalTag/Team": "*" } })).toBe("no-allow");
    expect(under({ Bool: { "aws:SecureTransport": "false" } }, {}, "h2")).toBeUndefined();
  });
});

describe("policies in audit mode", () => {
  test("refuse nothing, and say what they would refuse", () => {
    expect(judge([role("a", [deny("*")], {}, "audit")], true)).toMatchObject({ denied: undefined, wouldDeny: "explicit-deny" });
    expect(judge([role("a", [deny("*")], {}, "audit"), role("b", [allow("*")])], false)).toMatchObject({
      denied: undefined,
      wouldDeny: "explicit-deny",
    });
    expect(judge([role("a", [allow("*")], {}, "audit")], true)).toMatchObject({ denied: undefined, wouldDeny: undefined });
  });
});
