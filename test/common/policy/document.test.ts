import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatPolicy, maxStatements, policyFromJson, policyFromValue, type PolicyKind } from "../../../common/policy/document.ts";
import { policyFromYaml } from "../../../common/policy/yaml.ts";
import { PolicyError } from "../../../common/policy/error.ts";
import { documentOf, identityStatement, resourceStatement } from "./arbitraries.ts";

const read = { Effect: "Allow", Action: "orders:GetItem", Resource: "arn:mesh:orders:prod.example:shop:item/*" };
const assume = { Effect: "Allow", Action: "sts:AssumeRole", Principal: { SPIFFE: "spiffe://prod.example/ns/shop/sa/orders" } };
const document = (...Statement: readonly object[]): object => ({ Version: "2012-10-17", Statement });

function failureOf(value: unknown, kind: PolicyKind): { code: string; path: string } | undefined {
  try {
    policyFromValue(value, kind);
  } catch (error) {
    if (error instanceof PolicyError) return { code: error.code, path: error.path };
  }
  return undefined;
}

describe("policy documents", () => {
  it("take one statement or a list, one value or a list", () => {
    const one = policyFromValue({ Version: "2012-10-17", Statement: read }, "identity");
    const list = policyFromValue(document({ ...read, Action: [read.Action], Resource: [read.Resource] }), "identity");
    expect(one).toEqual(list);
    expect(one.statements).toEqual([
      {
        sid: undefined,
        effect: "Allow",
        principal: undefined,
        action: { negated: false, patterns: ["orders:GetItem"] },
        resource: { negated: false, patterns: ["arn:mesh:orders:prod.example:shop:item/*"] },
        conditions: [],
      },
    ]);
  });

  it("may have no statement: nothing is allowed then", () => {
    expect(policyFromValue(document(), "identity").statements).toEqual([]);
  });

  it("have the earlier version if they do not say", () => {
    expect(policyFromValue({ Statement: [] }, "identity").version).toBe("2008-10-17");
  });

  it.each([
    ["no Statement", { Version: "2012-10-17" }, "missing-element", ""],
    ["not an object", [read], "wrong-type", ""],
    ["null", null, "wrong-type", ""],
    ["unknown version", { Version: "2012-10-18", Statement: [] }, "unknown-version", "Version"],
    ["version as a number", { Version: 2012, Statement: [] }, "wrong-type", "Version"],
    ["unknown element", { ...document(read), Statements: [] }, "unknown-element", ""],
    ["misspelt element", { version: "2012-10-17", Statement: [] }, "unknown-element", ""],
    ["empty Id", { Id: "", Statement: [] }, "invalid-id", "Id"],
    ["statement that is text", { Version: "2012-10-17", Statement: [read, "x"] }, "wrong-type", "Statement[1]"],
    ["too many statements", document(...Array.from({ length: maxStatements + 1 }, () => read)), "too-many-statements", "Statement"],
    ["two of one Sid", document({ Sid: "A", ...read }, { Sid: "A", ...read }), "duplicate-sid", "Statement[1].Sid"],
    ["Sid with a line break", document({ Sid: "A\nB", ...read }), "invalid-sid", "Statement[0].Sid"],
    ["empty Sid", document({ Sid: "", ...read }), "invalid-sid", "Statement[0].Sid"],
    ["no Effect", document({ Action: "*", Resource: "*" }), "missing-element", "Statement[0]"],
    ["lower-case Effect", document({ ...read, Effect: "allow" }), "invalid-effect", "Statement[0].Effect"],
    ["Effect in a list", document({ ...read, Effect: ["Allow"] }), "wrong-type", "Statement[0].Effect"],
    ["unknown element of a statement", document({ ...read, Condtion: {} }), "unknown-element", "Statement[0]"],
    ["no Action", document({ Effect: "Allow", Resource: "*" }), "missing-element", "Statement[0]"],
    ["Action and NotAction", document({ ...read, NotAction: "orders:X" }), "conflicting-elements", "Statement[0]"],
    ["no Resource", document({ Effect: "Allow", Action: "*" }), "missing-element", "Statement[0]"],
    ["Resource and NotResource", document({ ...read, NotResource: "*" }), "conflicting-elements", "Statement[0]"],
    ["empty Action", document({ ...read, Action: [] }), "wrong-type", "Statement[0].Action"],
    ["Action that is an object", document({ ...read, Action: { a: 1 } }), "wrong-type", "Statement[0].Action"],
    ["Action without service", document({ ...read, Action: "GetItem" }), "invalid-action", "Statement[0].Action"],
    ["Action with two colons", document({ ...read, Action: ["orders:GetItem", "a:b:c"] }), "invalid-action", "Statement[0].Action[1]"],
    ["Action with a space", document({ ...read, Action: "orders: GetItem" }), "invalid-action", "Statement[0].Action"],
    ["Action with a variable", document({ ...read, Action: "orders:${aws:username}" }), "invalid-action", "Statement[0].Action"],
    ["Resource that is no ARN", document({ ...read, Resource: "/items/*" }), "invalid-resource", "Statement[0].Resource"],
    ["Resource of another partition", document({ ...read, Resource: "arn:aws:s3:::x" }), "invalid-resource", "Statement[0].Resource"],
    [
      "Resource of five parts",
      document({ ...read, Resource: "arn:mesh:orders:prod.example:*" }),
      "invalid-resource",
      "Statement[0].Resource",
    ],
    [
      "Resource with an empty part",
      document({ ...read, Resource: "arn:mesh:orders::shop:*" }),
      "invalid-resource",
      "Statement[0].Resource",
    ],
    ["Resource with a space", document({ ...read, Resource: `${read.Resource} x` }), "invalid-resource", "Statement[0].Resource"],
    ["huge Resource", document({ ...read, Resource: read.Resource + "x".repeat(2048) }), "invalid-resource", "Statement[0].Resource"],
    ["open variable", document({ ...read, Resource: `${read.Resource}\${aws:x` }), "invalid-variable", "Statement[0].Resource"],
    ["variable that is no key", document({ ...read, Resource: [`${read.Resource}\${x}`] }), "invalid-variable", "Statement[0].Resource[0]"],
    ["Principal", document({ ...read, Principal: "*" }), "unexpected-principal", "Statement[0].Principal"],
    ["NotPrincipal", document({ ...read, NotPrincipal: "*" }), "unexpected-principal", "Statement[0].NotPrincipal"],
    ["Condition that is a list", document({ ...read, Condition: [] }), "wrong-type", "Statement[0].Condition"],
    ["empty Condition", document({ ...read, Condition: {} }), "invalid-condition", "Statement[0]"],
    ["empty operator", document({ ...read, Condition: { Bool: {} } }), "invalid-condition", "Statement[0].Condition"],
    ["unknown operator", document({ ...read, Condition: { StringEqual: { "aws:x": "y" } } }), "unknown-operator", "Statement[0].Condition"],
    [
      "operator in lower case",
      document({ ...read, Condition: { bool: { "aws:x": "true" } } }),
      "unknown-operator",
      "Statement[0].Condition",
    ],
    [
      "unknown prefix",
      document({ ...read, Condition: { "ForSome:Bool": { "aws:x": "true" } } }),
      "unknown-operator",
      "Statement[0].Condition",
    ],
    ["NullIfExists", document({ ...read, Condition: { NullIfExists: { "aws:x": "true" } } }), "unknown-operator", "Statement[0].Condition"],
    [
      "ForAnyValue:Null",
      document({ ...read, Condition: { "ForAnyValue:Null": { "aws:x": "true" } } }),
      "unknown-operator",
      "Statement[0].Condition",
    ],
    ["key without prefix", document({ ...read, Condition: { Bool: { x: "true" } } }), "invalid-condition", "Statement[0].Condition.Bool"],
    [
      "a key twice in two cases",
      document({ ...read, Condition: { Bool: { "aws:SecureTransport": "true", "aws:securetransport": "true" } } }),
      "duplicate-key",
      "Statement[0].Condition.Bool",
    ],
    ["no values", document({ ...read, Condition: { Bool: { "aws:x": [] } } }), "invalid-condition", "Statement[0].Condition.Bool.aws:x"],
    ["null", document({ ...read, Condition: { Bool: { "aws:x": null } } }), "wrong-type", "Statement[0].Condition.Bool.aws:x"],
    [
      "nested values",
      document({ ...read, Condition: { Bool: { "aws:x": ["true", ["true"]] } } }),
      "wrong-type",
      "Statement[0].Condition.Bool.aws:x[1]",
    ],
    [
      "yes for true",
      document({ ...read, Condition: { Bool: { "aws:x": ["true", "yes"] } } }),
      "invalid-condition",
      "Statement[0].Condition.Bool.aws:x[1]",
    ],
    [
      "an address that is none",
      document({ ...read, Condition: { NotIpAddress: { "aws:SourceIp": "10.0.0.256" } } }),
      "invalid-condition",
      "Statement[0].Condition.NotIpAddress.aws:SourceIp",
    ],
    [
      "a variable in Bool",
      document({ ...read, Condition: { Bool: { "aws:x": "${aws:y}" } } }),
      "invalid-condition",
      "Statement[0].Condition.Bool.aws:x",
    ],
    [
      "an open variable in a condition",
      document({ ...read, Condition: { StringLike: { "aws:x": "${aws:y" } } }),
      "invalid-variable",
      "Statement[0].Condition.StringLike.aws:x",
    ],
  ])("identity policy, %s", (_what, value, code, path) => {
    expect(failureOf(value, "identity")).toEqual({ code, path });
  });

  it.each([
    ["no Principal", document(read), "missing-element", "Statement[0]"],
    ["Principal that is a name", document({ ...read, Principal: "checkout" }), "invalid-principal", "Statement[0].Principal"],
    ["Principal that is an ARN outside an object", document({ ...read, Principal: ["*"] }), "wrong-type", "Statement[0].Principal"],
    ["empty Principal", document({ ...read, Principal: {} }), "invalid-principal", "Statement[0].Principal"],
    ["unknown type", document({ ...read, Principal: { Service: "x" } }), "unknown-element", "Statement[0].Principal"],
    [
      "wildcard in an ARN",
      document({ ...read, Principal: { AWS: "arn:mesh:iam:prod.example:shop:role/*" } }),
      "invalid-principal",
      "Statement[0].Principal.AWS",
    ],
    ["AWS account", document({ ...read, Principal: { AWS: ["*", "123456789012"] } }), "invalid-principal", "Statement[0].Principal.AWS[1]"],
    [
      "star in the middle",
      document({ ...read, Principal: { SPIFFE: "spiffe://prod.example/ns/*/sa/x" } }),
      "invalid-principal",
      "Statement[0].Principal.SPIFFE",
    ],
    [
      "star for the trust domain",
      document({ ...read, Principal: { SPIFFE: "spiffe://*" } }),
      "invalid-principal",
      "Statement[0].Principal.SPIFFE",
    ],
    [
      "trailing slash",
      document({ ...read, Principal: { SPIFFE: "spiffe://prod.example/ns/" } }),
      "invalid-principal",
      "Statement[0].Principal.SPIFFE",
    ],
    [
      "dots",
      document({ ...read, Principal: { SPIFFE: "spiffe://prod.example/ns/../*" } }),
      "invalid-principal",
      "Statement[0].Principal.SPIFFE",
    ],
    ["star in SPIFFE", document({ ...read, Principal: { SPIFFE: "*" } }), "invalid-principal", "Statement[0].Principal.SPIFFE"],
    [
      "issuer with a space",
      document({ ...read, Principal: { Federated: "a b" } }),
      "invalid-principal",
      "Statement[0].Principal.Federated",
    ],
    ["NotPrincipal with Allow", document({ ...read, NotPrincipal: "*" }), "invalid-principal", "Statement[0].NotPrincipal"],
    ["both", document({ ...read, Effect: "Deny", NotPrincipal: "*", Principal: "*" }), "conflicting-elements", "Statement[0]"],
  ])("resource policy, %s", (_what, value, code, path) => {
    expect(failureOf(value, "resource")).toEqual({ code, path });
  });

  it.each([
    ["no Principal", document({ Effect: "Allow", Action: "sts:AssumeRole" }), "missing-element", "Statement[0]"],
    ["Resource", document({ ...assume, Resource: "*" }), "unknown-element", "Statement[0]"],
    ["NotResource", document({ ...assume, NotResource: "*" }), "unknown-element", "Statement[0]"],
    [
      "NotPrincipal",
      document({ Effect: "Deny", Action: "sts:AssumeRole", NotPrincipal: "*" }),
      "unexpected-principal",
      "Statement[0].NotPrincipal",
    ],
  ])("trust policy, %s", (_what, value, code, path) => {
    expect(failureOf(value, "trust")).toEqual({ code, path });
  });

  it("say where the mistake stands, in JSON", () => {
    const text = `{
  "Version": "2012-10-17",
  "Statement": [
    { "Effect": "Allow", "Action": "*", "Resource": "*" },
    { "Effect": "Deny", "Action": "*", "Resource": ["*", "items"] }
  ]
}`;
    expect(() => policyFromJson(text, "identity")).toThrow(
      expect.objectContaining({
        code: "invalid-resource",
        line: 5,
        column: 58,
        path: "Statement[1].Resource[1]",
        message: expect.stringMatching(/^Statement\[1\]\.Resource\[1\]: "items": .* \(line 5, column 58\)$/) as unknown,
      }),
    );
  });

  it("say where the mistake stands, in YAML", () => {
    const text = `Version: 2012-10-17
Statement:
  Effect: Allow
  Action: orders:GetItem
  Resource: "*"
  Condition:
    StringEquals:
      aws:PrincipalTag/team: red
    StringMatches:
      aws:PrincipalTag/team: red
`;
    expect(() => policyFromYaml(text, "identity")).toThrow(
      expect.objectContaining({ code: "unknown-operator", line: 9, column: 5, path: "Statement.Condition" }),
    );
  });

  it("read all three kinds of principal", () => {
    const Principal = {
      AWS: ["*", "arn:mesh:iam:a.example:shop:role/x"],
      SPIFFE: "spiffe://a.example/*",
      Federated: "https://login.example",
    };
    const [statement] = policyFromValue(document({ ...read, Principal }), "resource").statements;
    expect(statement?.principal).toEqual({
      negated: false,
      anyone: true,
      arns: ["arn:mesh:iam:a.example:shop:role/x"],
      spiffeIds: ["spiffe://a.example/*"],
      federated: ["https://login.example"],
    });
  });

  it("bound what is not plain data or is nested too deep", () => {
    let deep: unknown = "x";
    for (let level = 0; level < 10_000; level += 1) deep = [deep];
    expect(failureOf(deep, "identity")).toEqual({ code: "too-deep", path: "[0]".repeat(11) });
    expect(failureOf({ Version: "2012-10-17", Statement: () => [] }, "identity")).toEqual({ code: "wrong-type", path: "Statement" });
  });

  it("are refused if they could not be read again once written", () => {
    // 62 bytes a statement as it stands, 66 as `formatPolicy` writes it.
    const Statement = Array.from({ length: 1020 }, () => ({ Effect: "Allow", Action: "orders:GetItem123", Resource: "*" }));
    const text = JSON.stringify({ Version: "2012-10-17", Statement });
    expect(text.length).toBeLessThan(65_536);
    expect(() => policyFromJson(text, "identity")).toThrow(expect.objectContaining({ code: "too-large" }));
    expect(failureOf({ Version: "2012-10-17", Statement }, "identity")).toEqual({ code: "too-large", path: "" });
    expect(policyFromValue({ Version: "2012-10-17", Statement: Statement.slice(0, 900) }, "identity").statements).toHaveLength(900);
  });

  it("are read or refused with a PolicyError, whatever has happened to the text", () => {
    const outcomeOf = (work: () => unknown): string => {
      try {
        work();
        return "read";
      } catch (error) {
        return error instanceof PolicyError ? "refused" : String(error);
      }
    };
    const text = documentOf(resourceStatement, 2).map((raw) => formatPolicy(policyFromValue(raw, "resource")));
    const piece = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      ":",
      ",",
      "\n",
      "- ",
      "? ",
      "&a ",
      "*a",
      "!t ",
      "|",
      ">",
      "#",
      "%",
      "---\n",
      "\\u0000",
      "\t",
      "\u2028",
      "\ud800",
      "null",
    );
    fc.assert(
      fc.property(text, fc.nat(), fc.nat({ max: 6 }), piece, (whole, where, length, inserted) => {
        const at = where % whole.length;
        const damaged = whole.slice(0, at) + inserted + whole.slice(at + length);
        for (const read of [policyFromJson, policyFromYaml]) {
          expect(["read", "refused"]).toContain(outcomeOf(() => read(damaged, "resource")));
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("are the same after being written and read again", () => {
    const all = fc.oneof(
      documentOf(identityStatement).map((raw) => [raw, "identity"] as const),
      documentOf(resourceStatement).map((raw) => [raw, "resource"] as const),
    );
    fc.assert(
      fc.property(all, ([raw, kind]) => {
        const parsed = policyFromValue(raw, kind);
        const text = formatPolicy(parsed);
        expect(policyFromJson(text, kind)).toEqual(parsed);
        expect(policyFromYaml(text, kind)).toEqual(parsed);
        expect(formatPolicy(policyFromJson(text, kind))).toBe(text);
      }),
      { numRuns: 300 },
    );
  });
});
