import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePolicies, type CompiledPolicies } from "../../../common/policy/compile.ts";
import { policyFromJson, type PolicyKind } from "../../../common/policy/document.ts";
import { evaluate, type PolicySet } from "../../../common/policy/evaluate.ts";
import { explain } from "../../../common/policy/explain.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";
import { policySet, request } from "./arbitraries.ts";
import { referenceEvaluate, type RawPolicy, type RawPolicySet, type ReferenceRequest } from "./reference.ts";

const local = "a.example";

function compile(policies: readonly RawPolicy[], kind: PolicyKind): CompiledPolicies {
  return compilePolicies(
    policies.map(({ name, document, mode }) => ({ name, document: policyFromJson(JSON.stringify(document), kind), mode })),
  );
}

function compileSet(set: RawPolicySet): PolicySet {
  return {
    identity: compile(set.identity, "identity"),
    boundary: set.boundary && compile(set.boundary, "identity"),
    session: set.session && compile(set.session, "identity"),
    resource: set.resource && compile(set.resource, "resource"),
    guardrails: set.guardrails?.map((policies) => compile(policies, "identity")),
  };
}

const toRequest = ({ values, ...rest }: ReferenceRequest) => ({ ...rest, context: contextFromEntries(values) });

describe("compiled evaluation", () => {
  it("decides as the reference does, by the same statement", () => {
    fc.assert(
      fc.property(policySet, fc.array(request, { minLength: 1, maxLength: 8 }), (set, requests) => {
        const compiled = compileSet(set);
        for (const one of requests) {
          const { decision, reason, statement, wouldDeny } = evaluate(toRequest(one), compiled, local);
          const expected = referenceEvaluate(one, set, local, false);
          expect({ decision, reason, statement }).toEqual(expected);
          const audited = referenceEvaluate(one, set, local, true);
          const refused = decision === "allow" && audited.decision === "deny";
          expect(wouldDeny).toEqual(refused ? { reason: audited.reason, statement: audited.statement } : undefined);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("is explained by statements that apply", () => {
    fc.assert(
      fc.property(policySet, request, (set, one) => {
        const { decision, statements } = explain(toRequest(one), compileSet(set), local);
        const applying = statements.filter(({ result }) => result === "applies");
        const denies = applying.filter(({ effect, audit }) => effect === "Deny" && !audit);
        expect(denies.length > 0).toBe(decision.reason === "explicit-deny");
        expect([undefined, ...applying.map(({ statement }) => statement)]).toContainEqual(decision.statement);
      }),
      { numRuns: 500 },
    );
  });
});
