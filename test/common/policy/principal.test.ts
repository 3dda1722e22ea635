import { describe, expect, it } from "vitest";
import { policyFromValue } from "../../../common/policy/document.ts";
import { compilePrincipal, type Named, type Principal } from "../../../common/policy/principal.ts";

const role = "arn:mesh:iam:a.example:shop:role/checkout";
const session = "arn:mesh:sts:a.example:shop:assumed-role/checkout/one";
const caller: Principal = {
  sessionArn: session,
  roleArn: role,
  spiffeId: "spiffe://a.example/ns/shop/sa/checkout",
  trustDomain: "a.example",
};
const anonymous: Principal = { sessionArn: "", roleArn: "", spiffeId: "spiffe://a.example/ns/shop/sa/checkout", trustDomain: "a.example" };

function named(element: object, principal: Principal): Named {
  const Statement = { Effect: "Deny", Action: "*", Resource: "*", ...element };
  const [statement] = policyFromValue({ Version: "2012-10-17", Statement }, "resource").statements;
  if (statement?.principal === undefined) throw new Error("no principal");
  return compilePrincipal(statement.principal)(principal);
}

describe("principals", () => {
  it.each<[unknown, Named, Named]>([
    ["*", "otherwise", "otherwise"],
    [{ AWS: "*" }, "otherwise", "otherwise"],
    [{ AWS: role }, "otherwise", "not"],
    [{ AWS: session }, "session", "not"],
    [{ AWS: [role, session] }, "session", "not"],
    [{ AWS: ["*", session] }, "session", "otherwise"],
    [{ AWS: `${role}2` }, "not", "not"],
    [{ AWS: `${session}2` }, "not", "not"],
    [{ SPIFFE: "spiffe://a.example/ns/shop/sa/checkout" }, "otherwise", "otherwise"],
    [{ SPIFFE: "spiffe://a.example/ns/shop/sa/check" }, "not", "not"],
    [{ SPIFFE: "spiffe://a.example/ns/shop/*" }, "otherwise", "otherwise"],
    [{ SPIFFE: "spiffe://a.example/ns/sho/*" }, "not", "not"],
    [{ SPIFFE: "spiffe://a.example/ns/shop/sa/checkout/*" }, "not", "not"],
    [{ SPIFFE: "spiffe://a.example/*" }, "otherwise", "otherwise"],
    [{ SPIFFE: "spiffe://a.exampl/*" }, "not", "not"],
    [{ SPIFFE: "spiffe://b.example/*", AWS: role }, "otherwise", "not"],
    [{ Federated: "https://login.example" }, "not", "not"],
  ])("%j names a session as %j and a bare workload as %j", (element, ofCaller, ofAnonymous) => {
    expect([named({ Principal: element }, caller), named({ Principal: element }, anonymous)]).toEqual([ofCaller, ofAnonymous]);
    const other = (one: Named): Named => (one === "not" ? "otherwise" : "not");
    expect([named({ NotPrincipal: element }, caller), named({ NotPrincipal: element }, anonymous)]).toEqual([
      other(ofCaller),
      other(ofAnonymous),
    ]);
  });
});
