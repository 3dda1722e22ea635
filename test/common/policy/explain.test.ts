import { describe, expect, it } from "vitest";
import { compilePolicies } from "../../../common/policy/compile.ts";
import { policyFromValue } from "../../../common/policy/document.ts";
import { explain } from "../../../common/policy/explain.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";

const role = "arn:mesh:iam:a.example:shop:role/checkout";
const request = {
  action: "orders:GetItem",
  resource: "arn:mesh:orders:a.example:shop:item/42",
  principal: {
    sessionArn: "arn:mesh:sts:a.example:shop:assumed-role/checkout/one",
    roleArn: role,
    spiffeId: "spiffe://a.example/x",
    trustDomain: "a.example",
  },
  context: contextFromEntries([["http:Method", "GET"]]),
};
const all = { Effect: "Allow", Action: "*", Resource: "*" };

describe("an explanation", () => {
  it("says of each statement why it applies or not", () => {
    const identity = compilePolicies([
      {
        name: "role",
        mode: "enforce",
        document: policyFromValue(
          {
            Version: "2012-10-17",
            Statement: [
              { Sid: "OtherAction", ...all, Action: "orders:Put*" },
              { Sid: "OtherResource", ...all, Resource: "arn:mesh:orders:a.example:shop:item/43" },
              { Sid: "OtherMethod", ...all, Condition: { StringEquals: { "http:Method": ["POST", "PUT"] } } },
              { Sid: "This", ...all, Condition: { StringEquals: { "http:Method": "GET" } } },
            ],
          },
          "identity",
        ),
      },
    ]);
    const resource = compilePolicies([
      {
        name: "service",
        mode: "audit",
        document: policyFromValue(
          {
            Version: "2012-10-17",
            Statement: [
              { ...all, Effect: "Deny", Principal: { AWS: `${role}2` } },
              { ...all, Effect: "Deny", Principal: { AWS: role } },
            ],
          },
          "resource",
        ),
      },
    ]);
    const guardrail = compilePolicies([
      { name: "mesh", mode: "enforce", document: policyFromValue({ Version: "2012-10-17", Statement: all }, "identity") },
    ]);
    const { decision, statements } = explain(request, { identity, resource, guardrails: [guardrail] }, "a.example");
    expect(decision).toMatchObject({ decision: "allow", statement: { sid: "This" }, wouldDeny: { reason: "explicit-deny" } });
    expect(
      statements.map(({ role, statement, effect, audit, result }) => [role, statement.policy, statement.index, effect, audit, result]),
    ).toEqual([
      ["identity", "role", 0, "Allow", false, "action"],
      ["identity", "role", 1, "Allow", false, "resource"],
      ["identity", "role", 2, "Allow", false, "condition"],
      ["identity", "role", 3, "Allow", false, "applies"],
      ["resource", "service", 0, "Deny", true, "principal"],
      ["resource", "service", 1, "Deny", true, "applies"],
      ["guardrail", "mesh", 0, "Allow", false, "applies"],
    ]);
    expect(statements[2]?.condition).toEqual({ operator: "StringEquals", key: "http:Method", values: ["POST", "PUT"] });
  });

  it("has a line for a statement that could not be evaluated", () => {
    const identity = compilePolicies([
      {
        name: "role",
        mode: "enforce",
        document: policyFromValue(
          { Version: "2012-10-17", Statement: { ...all, Condition: { Null: { "http:Method": "false" } } } },
          "identity",
        ),
      },
    ]);
    const context = {
      get: () => {
        throw new Error("gone");
      },
    };
    const { decision, statements } = explain({ ...request, context }, { identity }, "a.example");
    expect(decision.reason).toBe("evaluation-failed");
    expect(statements.map(({ result }) => result)).toEqual(["failed"]);
  });
});
