import { describe, expect, it } from "vitest";
import { compilePolicies } from "../../../common/policy/compile.ts";
import { policyFromValue } from "../../../common/policy/document.ts";
import { PolicyError } from "../../../common/policy/error.ts";
import { evaluate, type AuthorizationRequest } from "../../../common/policy/evaluate.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";

const arn = (resource: string): string => `arn:mesh:orders:a.example:shop:${resource}`;
const request = (action: string, resource: string): AuthorizationRequest => ({
  action,
  resource: arn(resource),
  principal: { sessionArn: "", roleArn: "", spiffeId: "spiffe://a.example/x", trustDomain: "a.example" },
  context: contextFromEntries([]),
});
/** One policy of each list of statements. */
const compile = (...documents: readonly object[]) =>
  compilePolicies(
    documents.map((Statement, index) => ({
      name: `p${index}`,
      mode: "enforce",
      document: policyFromValue({ Version: "2012-10-17", Statement }, "identity"),
    })),
  );

describe("compiled policies", () => {
  it("look at few of a thousand statements", () => {
    const identity = compile(
      ...Array.from({ length: 10 }, (_, document) =>
        Array.from({ length: 100 }, (_, index) => ({
          Effect: "Allow",
          Action: "orders:Get*",
          Resource: [arn(`item/${document}${index}`), arn(`shelf/${document}${index}/*`)],
        })),
      ),
    );
    expect(evaluate(request("orders:GetItem", "item/777"), { identity }, "a.example")).toMatchObject({
      decision: "allow",
      statement: { policy: "p7", index: 77 },
      evaluated: 1,
    });
    expect(evaluate(request("orders:GetItem", "shelf/99/top"), { identity }, "a.example")).toMatchObject({
      decision: "allow",
      statement: { policy: "p9", index: 9 },
      evaluated: 1,
    });
    expect(evaluate(request("orders:GetItem", "item/9100"), { identity }, "a.example")).toMatchObject({ decision: "deny", evaluated: 0 });
  });

  it("look once at a statement with the action itself and a pattern of it", () => {
    const never = { StringEquals: { "http:Method": "GET" } };
    const identity = compile({ Effect: "Deny", Action: ["orders:GetItem", "orders:Get*"], Resource: "*", Condition: never });
    expect(evaluate(request("orders:GetItem", "item/1"), { identity }, "a.example").evaluated).toBe(1);
    expect(evaluate(request("orders:GetAll", "item/1"), { identity }, "a.example").evaluated).toBe(1);
    expect(evaluate(request("orders:PutItem", "item/1"), { identity }, "a.example").evaluated).toBe(0);
  });

  it("do not grow with the product of actions and resources", () => {
    const actions = Array.from({ length: 700 }, (_, index) => `orders:Action${index}`);
    const resources = Array.from({ length: 700 }, (_, index) => arn(`item/${index}/*`));
    const identity = compile({ Effect: "Allow", Action: actions, Resource: resources });
    expect([identity.index.byAction.size, identity.index.byService.size]).toEqual([0, 1]);
    expect(evaluate(request("orders:action699", "item/699/x"), { identity }, "a.example").decision).toBe("allow");
    expect(evaluate(request("orders:action700", "item/699/x"), { identity }, "a.example").decision).toBe("deny");
    expect(evaluate(request("orders:action699", "item/700/x"), { identity }, "a.example").decision).toBe("deny");
  });

  it("do not grow with the product of services and resources", () => {
    const actions = Array.from({ length: 700 }, (_, index) => `service${index}:Get*`);
    const resources = Array.from({ length: 700 }, (_, index) => arn(`item/${index}`));
    const identity = compile({ Effect: "Deny", Action: actions, Resource: resources });
    expect([identity.index.byAction.size, identity.index.byService.size]).toEqual([0, 0]);
    expect(evaluate(request("service699:GetItem", "item/699"), { identity }, "a.example").reason).toBe("explicit-deny");
    expect(evaluate(request("service700:GetItem", "item/699"), { identity }, "a.example").reason).toBe("no-allow");
  });

  it("refuse what was never a document", () => {
    const statement = {
      sid: undefined,
      effect: "Allow" as const,
      principal: undefined,
      action: { negated: false, patterns: ["GetItem"] },
      resource: { negated: false, patterns: ["*"] },
      conditions: [],
    };
    const document = { version: "2012-10-17" as const, id: undefined, statements: [statement] };
    expect(() => compilePolicies([{ name: "p", mode: "enforce", document }])).toThrow(PolicyError);
  });
});
