import { describe, expect, it } from "vitest";
import { compilePolicies, type CompiledPolicies, type PolicyMode } from "../../../common/policy/compile.ts";
import { policyFromValue, type PolicyKind } from "../../../common/policy/document.ts";
import { PolicyError } from "../../../common/policy/error.ts";
import { evaluate, type AuthorizationRequest, type PolicySet } from "../../../common/policy/evaluate.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";

const role = "arn:mesh:iam:a.example:shop:role/checkout";
const session = "arn:mesh:sts:a.example:shop:assumed-role/checkout/one";
const item = "arn:mesh:orders:a.example:shop:item/42";

function policies(kind: PolicyKind, statement: object | readonly object[], mode: PolicyMode = "enforce", name = "p"): CompiledPolicies {
  return compilePolicies([{ name, document: policyFromValue({ Version: "2012-10-17", Statement: statement }, kind), mode }]);
}

const allowAll = { Effect: "Allow", Action: "*", Resource: "*" };
const denyAll = { Effect: "Deny", Action: "*", Resource: "*" };
const nothing = policies("identity", []);
const everything = policies("identity", allowAll);
const denies = policies("identity", denyAll);
const elsewhere = policies("identity", { ...allowAll, Resource: "arn:mesh:stock:a.example:shop:*" });
const named = (Principal: unknown, effect = allowAll): CompiledPolicies => policies("resource", { ...effect, Principal });
const namesSession = named({ AWS: session });
const namesRole = named({ AWS: role });
const namesAnyone = named("*");

const request = (changes: Partial<AuthorizationRequest> = {}): AuthorizationRequest => ({
  action: "orders:GetItem",
  resource: item,
  principal: { sessionArn: session, roleArn: role, spiffeId: "spiffe://a.example/ns/shop/sa/checkout", trustDomain: "a.example" },
  context: contextFromEntries([]),
  ...changes,
});

const foreignRole = "arn:mesh:iam:b.example:shop:role/checkout";
const foreign = request({
  principal: {
    sessionArn: "arn:mesh:sts:b.example:shop:assumed-role/checkout/one",
    roleArn: foreignRole,
    spiffeId: "spiffe://b.example/ns/shop/sa/checkout",
    trustDomain: "b.example",
  },
});

describe("evaluation order", () => {
  it.each<[string, PolicySet, string, string]>([
    ["nothing", { identity: nothing }, "deny", "no-allow"],
    ["an Allow", { identity: everything }, "allow", "identity-policy"],
    ["an Allow of something else", { identity: elsewhere }, "deny", "no-allow"],

    ["Deny in the identity policy", { identity: denies, resource: namesSession }, "deny", "explicit-deny"],
    ["Deny in the boundary", { identity: everything, boundary: denies, resource: namesSession }, "deny", "explicit-deny"],
    ["Deny in the session policy", { identity: everything, session: denies, resource: namesSession }, "deny", "explicit-deny"],
    ["Deny in the resource policy", { identity: everything, resource: named({ AWS: role }, denyAll) }, "deny", "explicit-deny"],
    ["Deny in a guardrail", { identity: everything, guardrails: [everything, denies], resource: namesSession }, "deny", "explicit-deny"],
    [
      "Deny of the resource policy for somebody else",
      { identity: everything, resource: named({ AWS: `${role}2` }, denyAll) },
      "allow",
      "identity-policy",
    ],

    ["no guardrail", { identity: everything, guardrails: [] }, "allow", "identity-policy"],
    ["guardrails that allow", { identity: everything, guardrails: [everything, everything] }, "allow", "identity-policy"],
    ["one guardrail that does not", { identity: everything, guardrails: [everything, elsewhere] }, "deny", "guardrail"],
    [
      "a guardrail against a resource policy that names the session",
      { identity: nothing, guardrails: [elsewhere], resource: namesSession },
      "deny",
      "guardrail",
    ],
    ["a guardrail allows nothing by itself", { identity: nothing, guardrails: [everything] }, "deny", "no-allow"],

    ["a boundary that allows", { identity: everything, boundary: everything }, "allow", "identity-policy"],
    ["a boundary that does not", { identity: everything, boundary: elsewhere }, "deny", "boundary"],
    ["an empty boundary", { identity: everything, boundary: compilePolicies([]) }, "deny", "boundary"],
    ["a boundary allows nothing by itself", { identity: nothing, boundary: everything }, "deny", "no-allow"],
    ["a session policy that allows", { identity: everything, session: everything }, "allow", "identity-policy"],
    ["a session policy that does not", { identity: everything, session: elsewhere }, "deny", "session-policy"],
    ["a session policy allows nothing by itself", { identity: nothing, session: everything }, "deny", "no-allow"],

    ["the resource policy names the role", { identity: nothing, resource: namesRole }, "allow", "resource-policy"],
    ["the resource policy names anyone", { identity: nothing, resource: namesAnyone }, "allow", "resource-policy"],
    ["both allow", { identity: everything, resource: namesRole }, "allow", "identity-policy"],
    ["the role, limited by the boundary", { identity: nothing, resource: namesRole, boundary: nothing }, "deny", "boundary"],
    ["the role, limited by the session policy", { identity: nothing, resource: namesRole, session: nothing }, "deny", "session-policy"],
    ["anyone, limited by the boundary", { identity: nothing, resource: namesAnyone, boundary: nothing }, "deny", "boundary"],
    [
      "the workload, limited by the boundary",
      { identity: nothing, resource: named({ SPIFFE: "spiffe://a.example/*" }), boundary: nothing },
      "deny",
      "boundary",
    ],
    [
      "the session, limited by nothing else",
      { identity: nothing, resource: namesSession, boundary: nothing, session: nothing },
      "allow",
      "resource-policy",
    ],
    [
      "the session, by the side of the role",
      { identity: nothing, resource: named({ AWS: [role, session] }), boundary: nothing },
      "allow",
      "resource-policy",
    ],
  ])("%s: %3$s, %4$s", (_what, set, decision, reason) => {
    expect(evaluate(request(), set, "a.example")).toMatchObject({ decision, reason, wouldDeny: undefined, error: undefined });
  });

  it.each<[string, PolicySet, string, string]>([
    ["neither side", { identity: nothing, resource: namesRole }, "deny", "no-allow"],
    ["its role alone", { identity: everything }, "deny", "no-resource-allow"],
    ["its role, and the resource policy names another", { identity: everything, resource: namesRole }, "deny", "no-resource-allow"],
    ["the resource policy alone", { identity: nothing, resource: named({ AWS: foreignRole }) }, "deny", "no-identity-allow"],
    [
      "the resource policy alone, naming the session",
      { identity: nothing, resource: named({ AWS: foreign.principal.sessionArn }) },
      "deny",
      "no-identity-allow",
    ],
    ["both sides", { identity: everything, resource: named({ AWS: foreignRole }) }, "allow", "both-policies"],
    [
      "both sides, outside the boundary",
      { identity: everything, resource: named({ AWS: foreign.principal.sessionArn }), boundary: nothing },
      "deny",
      "boundary",
    ],
    ["both sides, outside the session policy", { identity: everything, resource: namesAnyone, session: nothing }, "deny", "session-policy"],
    ["both sides, and a Deny", { identity: everything, resource: named("*", denyAll) }, "deny", "explicit-deny"],
  ])("a caller of another trust domain, allowed by %s: %3$s, %4$s", (_what, set, decision, reason) => {
    expect(evaluate(foreign, set, "a.example")).toMatchObject({ decision, reason });
  });

  it("names the first statement that decided, of the policies in their order", () => {
    const identity = compilePolicies([
      {
        name: "first",
        mode: "enforce",
        document: policyFromValue(
          {
            Version: "2012-10-17",
            Statement: [
              { ...allowAll, Action: "stock:*" },
              { Sid: "Get", ...allowAll, Action: "orders:Get*" },
            ],
          },
          "identity",
        ),
      },
      {
        name: "second",
        mode: "enforce",
        document: policyFromValue(
          { Version: "2012-10-17", Statement: [{ ...allowAll, Action: "orders:GetItem", Resource: item }] },
          "identity",
        ),
      },
    ]);
    expect(evaluate(request(), { identity }, "a.example").statement).toEqual({ policy: "first", sid: "Get", index: 1 });
    const resource = policies(
      "resource",
      [
        { ...denyAll, Principal: "*", Action: "stock:*" },
        { ...denyAll, Principal: "*" },
      ],
      "enforce",
      "orders",
    );
    expect(evaluate(request(), { identity, resource }, "a.example").statement).toEqual({ policy: "orders", sid: undefined, index: 1 });
    expect(evaluate(request(), { identity: elsewhere }, "a.example").statement).toBeUndefined();
  });

  it("reports places in the author's document for a slice of it", () => {
    const document = policyFromValue({ Version: "2012-10-17", Statement: [allowAll] }, "identity");
    const identity = compilePolicies([{ name: "p", mode: "enforce", document, indexes: [7] }]);
    expect(evaluate(request(), { identity }, "a.example").statement?.index).toBe(7);
  });

  it("takes upper and lower case for the same in actions, and for different in resources", () => {
    const identity = policies("identity", { ...allowAll, Action: "Orders:getITEM", Resource: item });
    expect(evaluate(request({ action: "orders:GETITEM" }), { identity }, "a.example").decision).toBe("allow");
    expect(evaluate(request({ resource: item.replace("item", "Item") }), { identity }, "a.example").decision).toBe("deny");
  });

  it("is not led astray by names of object properties", () => {
    const identity = policies("identity", { ...allowAll, Action: "constructor:prototype" });
    for (const action of ["__proto__:toString", "toString", "", ":", "constructor"]) {
      expect(evaluate(request({ action }), { identity }, "a.example")).toMatchObject({ decision: "deny", reason: "no-allow" });
    }
    expect(evaluate(request({ action: "constructor:prototype" }), { identity }, "a.example").decision).toBe("allow");
  });
});

describe("what cannot be evaluated", () => {
  const failure = new Error("the peer is gone");
  const failing = request({
    context: {
      get: () => {
        throw failure;
      },
    },
  });
  const conditional = { Condition: { StringEquals: { "http:Method": "GET" } } };

  it.each<[string, PolicySet]>([
    ["an Allow", { identity: policies("identity", { ...allowAll, ...conditional }) }],
    ["a Deny", { identity: everything, boundary: policies("identity", [allowAll, { ...denyAll, ...conditional }]) }],
  ])("denies: %s whose key cannot be read", (_what, set) => {
    expect(evaluate(failing, set, "a.example")).toEqual({
      decision: "deny",
      reason: "evaluation-failed",
      statement: undefined,
      evaluated: 0,
      wouldDeny: undefined,
      error: failure,
    });
  });

  it("would deny, and does not: a Deny in audit mode whose key cannot be read", () => {
    const set = { identity: everything, boundary: policies("identity", { ...denyAll, ...conditional }, "audit") };
    expect(evaluate(failing, set, "a.example")).toMatchObject({ decision: "allow", wouldDeny: { reason: "evaluation-failed" } });
  });

  it("does not matter where nothing reads it", () => {
    expect(evaluate(failing, { identity: everything }, "a.example").decision).toBe("allow");
  });

  it.each(["identity", "boundary", "session", "resource", "guardrail"])("denies: a broken %s policy", (place) => {
    const error = new PolicyError("syntax", "no policy");
    const broken = compilePolicies([{ name: "broken", document: error, mode: "enforce" }]);
    const set = {
      identity: everything,
      resource: namesSession,
      ...(place === "guardrail" ? { guardrails: [broken] } : { [place]: broken }),
    };
    expect(evaluate(request(), set, "a.example")).toMatchObject({
      decision: "deny",
      reason: "invalid-policy",
      statement: { policy: "broken", sid: undefined, index: -1 },
      error,
    });
  });

  it("denies: an address that is none, in an Allow and in a Deny", () => {
    const context = contextFromEntries([["http:Header/X-Real-IP", "10.0.0.1, 10.0.0.2"]]);
    const Condition = { IpAddress: { "http:Header/X-Real-IP": "10.0.0.0/8" } };
    const NotCondition = { NotIpAddress: { "http:Header/X-Real-IP": "10.0.0.0/8" } };
    for (const condition of [Condition, NotCondition]) {
      const allows = policies("identity", { ...allowAll, Condition: condition });
      const denies = policies("identity", [allowAll, { ...denyAll, Condition: condition }]);
      expect(evaluate(request({ context }), { identity: allows }, "a.example").reason).toBe("no-allow");
      expect(evaluate(request({ context }), { identity: denies }, "a.example").reason).toBe("explicit-deny");
    }
  });

  it("denies: an Allow whose NotResource has a variable without value", () => {
    const NotResource = "arn:mesh:orders:a.example:shop:team/${aws:PrincipalTag/team}/*";
    const except = (Effect: string): CompiledPolicies =>
      policies("identity", [{ Effect, Action: "*", NotResource }, ...(Effect === "Deny" ? [allowAll] : [])]);
    const tagged = contextFromEntries([["aws:PrincipalTag/team", "red"]]);
    expect(evaluate(request(), { identity: except("Allow") }, "a.example").reason).toBe("no-allow");
    expect(evaluate(request({ context: tagged }), { identity: except("Allow") }, "a.example").reason).toBe("identity-policy");
    expect(evaluate(request(), { identity: except("Deny") }, "a.example").reason).toBe("explicit-deny");
  });
});

describe("audit mode", () => {
  const auditedDeny = policies("identity", { Sid: "Later", ...denyAll }, "audit", "next");
  const error = new PolicyError("syntax", "no policy");

  it.each<[string, PolicySet, object]>([
    [
      "a Deny",
      { identity: everything, boundary: auditedDeny },
      { reason: "explicit-deny", statement: { policy: "next", sid: "Later", index: 0 } },
    ],
    ["a boundary", { identity: everything, boundary: policies("identity", [], "audit") }, { reason: "boundary", statement: undefined }],
    [
      "a session policy",
      { identity: everything, session: policies("identity", [], "audit") },
      { reason: "session-policy", statement: undefined },
    ],
    [
      "a guardrail",
      { identity: everything, guardrails: [policies("identity", [], "audit")] },
      { reason: "guardrail", statement: undefined },
    ],
    [
      "a resource policy",
      { identity: everything, resource: policies("resource", { ...denyAll, Principal: "*" }, "audit") },
      { reason: "explicit-deny", statement: { policy: "p", sid: undefined, index: 0 } },
    ],
    [
      "a broken policy",
      { identity: everything, boundary: compilePolicies([{ name: "broken", document: error, mode: "audit" }]) },
      { reason: "invalid-policy", statement: { policy: "broken", sid: undefined, index: -1 } },
    ],
  ])("%s would deny, and does not", (_what, set, wouldDeny) => {
    expect(evaluate(request(), set, "a.example")).toMatchObject({
      decision: "allow",
      reason: "identity-policy",
      wouldDeny,
      error: undefined,
    });
  });

  it("does not let an Allow allow", () => {
    const identity = policies("identity", allowAll, "audit");
    expect(evaluate(request(), { identity }, "a.example")).toMatchObject({ decision: "deny", reason: "no-allow", wouldDeny: undefined });
  });

  it("reports nothing when it would allow too", () => {
    const set = { identity: everything, boundary: policies("identity", allowAll, "audit") };
    expect(evaluate(request(), set, "a.example")).toMatchObject({ decision: "allow", wouldDeny: undefined });
  });

  it("leaves enforced policies of the same set in force", () => {
    const document = (Statement: object) => policyFromValue({ Version: "2012-10-17", Statement }, "identity");
    const identity = compilePolicies([
      { name: "now", mode: "enforce", document: document(allowAll) },
      { name: "next", mode: "audit", document: document({ ...denyAll, Action: "orders:Get*" }) },
      { name: "also", mode: "enforce", document: document({ ...denyAll, Action: "orders:Put*" }) },
    ]);
    expect(evaluate(request(), { identity }, "a.example")).toMatchObject({
      decision: "allow",
      statement: { policy: "now" },
      wouldDeny: { reason: "explicit-deny", statement: { policy: "next" } },
    });
    expect(evaluate(request({ action: "orders:PutItem" }), { identity }, "a.example")).toMatchObject({
      decision: "deny",
      statement: { policy: "also" },
      wouldDeny: undefined,
    });
  });
});
