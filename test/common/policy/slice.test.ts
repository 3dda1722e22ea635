import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePolicies, type CompiledPolicies, type PolicySource } from "../../../common/policy/compile.ts";
import { policyFromValue } from "../../../common/policy/document.ts";
import { evaluate } from "../../../common/policy/evaluate.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";
import { sliceForService, type ServiceScope } from "../../../common/policy/slice.ts";
import { documentOf, identityStatement, request } from "./arbitraries.ts";

const scope: ServiceScope = { service: "orders", trustDomain: "a.example", namespace: "shop" };

function kept(elements: object): boolean {
  const statement = Object.entries({ Effect: "Deny", Action: "*", Resource: "*", ...elements }).filter(([, value]) => value !== undefined);
  const document = policyFromValue({ Version: "2012-10-17", Statement: Object.fromEntries(statement) }, "identity");
  return sliceForService(document, scope).document.statements.length === 1;
}

describe("slices", () => {
  it.each([
    [{}, true],
    [{ Action: "orders:GetItem" }, true],
    [{ Action: "ORDERS:GetItem" }, true],
    [{ Action: "o*:GetItem" }, true],
    [{ Action: "*:*" }, true],
    [{ Action: "stock:GetItem" }, false],
    [{ Action: ["stock:GetItem", "orders:GET"] }, true],
    [{ Action: "order:*" }, false],
    [{ Resource: "arn:mesh:orders:a.example:shop:x" }, true],
    [{ Resource: "arn:mesh:stock:a.example:shop:x" }, false],
    [{ Resource: "arn:mesh:orders:b.example:shop:x" }, false],
    [{ Resource: "arn:mesh:orders:a.example:back:x" }, false],
    [{ Resource: ["arn:mesh:stock:a.example:shop:x", "arn:mesh:*:*:s???:x"] }, true],
    [{ Resource: "arn:mesh:orders:a.example:${aws:PrincipalTag/ns}:x" }, true],
    [{ Resource: "arn:mesh:${aws:PrincipalTag/x}rs:a.example:s${aws:PrincipalTag/ns}:x" }, true],
    [{ Resource: "arn:mesh:x${aws:PrincipalTag/x}:a.example:shop:x" }, false],
    [{ Action: undefined, NotAction: "stock:*" }, true],
    [{ Action: undefined, NotAction: "orders:Get*" }, true],
    [{ Action: undefined, NotAction: ["stock:*", "orders:*"] }, false],
    [{ Action: undefined, NotAction: "*" }, false],
    [{ Resource: undefined, NotResource: "arn:mesh:stock:a.example:shop:*" }, true],
    [{ Resource: undefined, NotResource: "arn:mesh:orders:a.example:shop:item/*" }, true],
    [{ Resource: undefined, NotResource: "arn:mesh:orders:a.example:*:*" }, false],
    [{ Resource: undefined, NotResource: "*" }, false],
    // The variable may have no value, and then the pattern leaves nothing out.
    [{ Resource: undefined, NotResource: "arn:mesh:orders:a.example:shop${aws:PrincipalTag/x}:*" }, true],
    [{ Resource: undefined, NotResource: "arn:mesh:orders:a.example:shop:${aws:PrincipalTag/x}*" }, true],
  ])("%j is kept: %j", (statement, expected) => {
    expect(kept(statement)).toBe(expected);
  });

  it("decides every request at the service as the whole policy does, by the same statement", () => {
    const inScope = request.map((one) => ({
      ...one,
      action: `orders:${one.action.split(":")[1]}`,
      resource: `arn:mesh:orders:a.example:shop:${one.resource.split(":").slice(5).join(":")}`,
    }));
    let dropped = 0;
    fc.assert(
      fc.property(documentOf(identityStatement, 8), fc.array(inScope, { minLength: 1, maxLength: 5 }), (raw, requests) => {
        const document = policyFromValue(raw, "identity");
        const slice = sliceForService(document, scope);
        dropped += document.statements.length - slice.document.statements.length;
        const compile = (source: Pick<PolicySource, "document" | "indexes">): CompiledPolicies =>
          compilePolicies([{ name: "p", mode: "enforce", ...source }]);
        const whole = compile({ document });
        const part = compile(slice);
        for (const { values, ...one } of requests) {
          const asked = { ...one, context: contextFromEntries(values) };
          const { evaluated: _whole, ...expected } = evaluate(asked, { identity: whole }, "a.example");
          const { evaluated: _part, ...decision } = evaluate(asked, { identity: part }, "a.example");
          expect(decision).toEqual(expected);
        }
      }),
      { numRuns: 2000 },
    );
    expect(dropped).toBeGreaterThan(100);
  });
});
