import { describe, expect, it } from "vitest";
import { formatPolicy, policyFromJson } from "../../../common/policy/document.ts";
import { permissionsFromCalls } from "../../../common/policy/service-linked.ts";

describe("permissions of service-linked roles", () => {
  it("are the declared calls", () => {
    const document = permissionsFromCalls("a.example", [
      { service: "stock", namespace: "shop", actions: ["Reserve", "Get*"] },
      { service: "audit", namespace: "back" },
      { service: "stock", namespace: "shop", actions: ["Reserve", "Count"] },
      { service: "mail", namespace: "back", actions: [] },
    ]);
    expect(JSON.parse(formatPolicy(document))).toEqual({
      Version: "2012-10-17",
      Statement: [
        { Effect: "Allow", Action: ["audit:*"], Resource: ["arn:mesh:audit:a.example:back:*"] },
        { Effect: "Allow", Action: ["stock:Count", "stock:Get*", "stock:Reserve"], Resource: ["arn:mesh:stock:a.example:shop:*"] },
      ],
    });
    expect(policyFromJson(formatPolicy(document), "identity")).toEqual(document);
  });

  it("are a connection to each host outside the mesh, by the caller's namespace", () => {
    const document = permissionsFromCalls("a.example", [
      { external: "*.pay.example", namespace: "shop" },
      { external: "2001:db8::1", namespace: "shop" },
      { service: "stock", namespace: "shop", actions: ["Get"] },
    ]);
    expect(JSON.parse(formatPolicy(document))).toMatchObject({
      Statement: [
        { Effect: "Allow", Action: ["external:Connect"], Resource: ["arn:mesh:external:a.example:shop:*.pay.example"] },
        { Effect: "Allow", Action: ["external:Connect"], Resource: ["arn:mesh:external:a.example:shop:2001:db8::1"] },
        { Effect: "Allow", Action: ["stock:Get"], Resource: ["arn:mesh:stock:a.example:shop:*"] },
      ],
    });
    expect(policyFromJson(formatPolicy(document), "identity")).toEqual(document);
  });

  it("are refused where they are too much for a document", () => {
    const actions = Array.from({ length: 5000 }, (_, index) => `Action${index}`);
    expect(() => permissionsFromCalls("a.example", [{ service: "stock", namespace: "shop", actions }])).toThrow(
      expect.objectContaining({ code: "too-large" }),
    );
  });

  it("are nothing where nothing is called", () => {
    expect(permissionsFromCalls("a.example", []).statements).toEqual([]);
  });

  it.each([
    [{ service: "*", namespace: "shop" }, "invalid-arn"],
    [{ service: "stock", namespace: "*" }, "invalid-arn"],
    [{ service: "a:b", namespace: "shop" }, "invalid-arn"],
    [{ service: "stock", namespace: "shop", actions: ["a:b"] }, "invalid-action"],
    [{ service: "stock", namespace: "shop", actions: [""] }, "invalid-action"],
  ])("%j is %s", (call, code) => {
    expect(() => permissionsFromCalls("a.example", [call])).toThrow(expect.objectContaining({ code }));
  });
});
