/** Policies and requests from so small a world that they meet often. */
import * as fc from "fast-check";
import type { OneOrMore, RawPolicy, RawPolicySet, RawPrincipal, RawStatement, ReferenceRequest, Values } from "./reference.ts";

const services = ["orders", "stock"];
const names = ["GetItem", "GetAll", "PutItem", "GET"];
const trustDomains = ["a.example", "b.example"];
const namespaces = ["shop", "back"];
const resources = ["item/1", "item/12", "item/2/red", "team/red/x", "team/blue/x", "/items/a:b", "item/*"];

const oneOrMore = (one: fc.Arbitrary<string>): fc.Arbitrary<OneOrMore> =>
  fc.oneof(one, fc.uniqueArray(one, { minLength: 1, maxLength: 3 }));

const actionPattern = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom(...services), fc.constantFrom(...names, "*", "*", "*", "Get*", "G?T", "*item", "getitem"))
      .map((parts) => parts.join(":")),
  },
  { weight: 1, arbitrary: fc.constantFrom("*", "*:Get*", "or*:*", "st?ck:GetItem", "*:*") },
);

const tail = fc.constantFrom(
  ...resources,
  "*",
  "*",
  "*",
  "item/*",
  "item/*",
  "item/?",
  "*/x",
  "item/*/r?d",
  "team/${aws:PrincipalTag/team}/*",
  "team/${aws:PrincipalTag/team,'blue'}/x",
  "${aws:PrincipalTag/path}*",
  "item/${*}",
  "*:b",
);

export const resourcePattern = fc.oneof(
  { weight: 1, arbitrary: fc.constant("*") },
  {
    weight: 6,
    arbitrary: fc
      .tuple(
        fc.constantFrom(...services, "orders", "orders", "orders", "orders", "*", "o*"),
        fc.constantFrom("a.example", "a.example", "a.example", "a.example", "b.example", "*", "?.example"),
        fc.constantFrom("shop", "shop", "shop", "shop", "shop", "back", "*", "${aws:PrincipalTag/team}"),
        tail,
      )
      .map((parts) => `arn:mesh:${parts.join(":")}`),
  },
);

const keys = [
  "aws:PrincipalTag/team",
  "aws:PrincipalTag/path",
  "http:Method",
  "aws:TagKeys",
  "aws:SourceIp",
  "aws:SecureTransport",
  "http:Header/X-Name",
];

const comparison = fc
  .record({
    set: fc.constantFrom("", "", "ForAnyValue:", "ForAllValues:"),
    kind: fc.oneof(
      fc.record({
        name: fc.constantFrom(
          "StringEquals",
          "StringNotEquals",
          "StringEqualsIgnoreCase",
          "StringNotEqualsIgnoreCase",
          "StringLike",
          "StringNotLike",
        ),
        values: oneOrMore(
          fc.constantFrom(
            "red",
            "RED",
            "blue",
            "r*",
            "?ed",
            "*",
            "GET",
            "x/y",
            "${aws:PrincipalTag/team}",
            "${http:Method, 'GET'}",
            "${*}",
          ),
        ),
      }),
      fc.record({ name: fc.constantFrom("Bool"), values: oneOrMore(fc.constantFrom("true", "false", "True")) }),
      fc.record({
        name: fc.constantFrom("IpAddress", "NotIpAddress"),
        values: oneOrMore(fc.constantFrom("10.0.0.0/8", "10.1.2.3", "192.168.0.0/16", "0.0.0.0/0")),
      }),
    ),
    suffix: fc.constantFrom("", "", "IfExists"),
    key: fc.constantFrom(...keys),
  })
  .map(({ set, kind, suffix, key }) => [set + kind.name + suffix, { [key]: kind.values }] as const);

const presence = fc
  .tuple(fc.constantFrom(...keys), oneOrMore(fc.constantFrom("true", "false")))
  .map(([key, values]) => ["Null", { [key]: values }] as const);

const condition = fc
  .array(fc.oneof({ weight: 4, arbitrary: comparison }, { weight: 1, arbitrary: presence }), { minLength: 1, maxLength: 2 })
  .map((entries) => Object.fromEntries(entries));

export const sessions = ["one", "two"].map((name) => `arn:mesh:sts:a.example:shop:assumed-role/checkout/${name}`);
export const roles = ["checkout", "audit"].map((name) => `arn:mesh:iam:a.example:shop:role/${name}`);
const ids = ["spiffe://a.example/ns/shop/sa/checkout", "spiffe://a.example/ns/back/sa/audit"];

const rawPrincipal: fc.Arbitrary<RawPrincipal> = fc.oneof(
  fc.constant("*" as const),
  fc.record({ AWS: oneOrMore(fc.constantFrom(...sessions, ...roles, "*")) }),
  fc.record({ SPIFFE: oneOrMore(fc.constantFrom(...ids, "spiffe://a.example/ns/shop/*", "spiffe://a.example/*")) }),
);

type Parts<Name extends string> = { readonly [Key in Name | `Not${Name}`]?: OneOrMore };

function plainOrNot<Name extends string>(name: Name, one: fc.Arbitrary<string>): fc.Arbitrary<Parts<Name>> {
  return fc
    .tuple(fc.constantFrom(name, name, name, `Not${name}` as const), oneOrMore(one))
    .map(([key, values]) => ({ [key]: values }) as Parts<Name>);
}

const commonParts = fc
  .tuple(
    fc.record({ Effect: fc.constantFrom<"Allow" | "Deny">("Allow", "Allow", "Allow", "Allow", "Allow", "Deny") }),
    plainOrNot("Action", actionPattern),
    plainOrNot("Resource", resourcePattern),
    fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: fc.record({ Condition: condition }) }),
  )
  .map(([effect, action, resource, conditions]): RawStatement => ({ ...effect, ...action, ...resource, ...conditions }));

export const identityStatement = commonParts;

export const resourceStatement = fc
  .tuple(commonParts, rawPrincipal, fc.boolean())
  .map(([statement, principal, negated]): RawStatement =>
    negated && statement.Effect === "Deny" ? { ...statement, NotPrincipal: principal } : { ...statement, Principal: principal },
  );

export const documentOf = (statement: fc.Arbitrary<RawStatement>, maxLength = 5): fc.Arbitrary<RawPolicy["document"]> =>
  fc
    .record({ Version: fc.constantFrom("2012-10-17", "2012-10-17", "2008-10-17"), Statement: fc.array(statement, { maxLength }) })
    .map(({ Version, Statement }) => ({
      Version,
      Statement: Statement.map((one, index) => (index % 2 === 0 ? { Sid: `S${index}`, ...one } : one)),
    }));

const policies = (statement: fc.Arbitrary<RawStatement>): fc.Arbitrary<readonly RawPolicy[]> =>
  fc
    .array(
      fc.record({ document: documentOf(statement), mode: fc.constantFrom("enforce" as const, "enforce" as const, "audit" as const) }),
      { maxLength: 2 },
    )
    .map((list) => list.map((policy, index) => ({ name: `policy-${index}`, ...policy })));

const sometimes = <Value>(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });

export const policySet: fc.Arbitrary<RawPolicySet> = fc.record({
  identity: policies(identityStatement),
  boundary: sometimes(policies(identityStatement)),
  session: sometimes(policies(identityStatement)),
  resource: sometimes(policies(resourceStatement)),
  guardrails: sometimes(fc.array(policies(identityStatement), { maxLength: 2 })),
});

const value = fc.oneof(
  fc.constantFrom("red", "RED", "blue", "GET", "x/y", "*", "", "10.1.2.3", "192.168.1.1", "not an address", "true", "FALSE"),
  fc.array(fc.constantFrom("red", "blue", "GET", "10.1.2.3", "true"), { maxLength: 2 }),
);

/** Keys in canonical form. */
export const contextValues: fc.Arbitrary<Values> = fc
  .array(fc.tuple(fc.constantFrom(...keys.map((key) => key.toLowerCase())), value), { maxLength: 6 })
  .map((entries) => new Map(entries));

export const request: fc.Arbitrary<ReferenceRequest> = fc.record({
  action: fc.tuple(fc.constantFrom(...services, "orders", "orders", "orders"), fc.constantFrom(...names)).map((parts) => parts.join(":")),
  resource: fc
    .tuple(
      fc.constantFrom(...services, "orders", "orders", "orders"),
      fc.constantFrom(...trustDomains, "a.example", "a.example", "a.example"),
      fc.constantFrom(...namespaces, "shop", "shop", "shop"),
      fc.constantFrom(...resources),
    )
    .map((parts) => `arn:mesh:${parts.join(":")}`),
  principal: fc.record({
    sessionArn: fc.constantFrom(...sessions),
    roleArn: fc.constantFrom(...roles),
    spiffeId: fc.constantFrom(...ids),
    trustDomain: fc.constantFrom("a.example", "a.example", "b.example"),
  }),
  values: contextValues,
});
