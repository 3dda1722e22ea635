/** Sessions: who gets which, within AWS's limits, and what a receiver can learn of them. */
import { status } from "@grpc/grpc-js";
import { SignJWT, generateKeyPair } from "jose";
import { afterEach, expect, test } from "vitest";
import type { AssumeRoleRequest } from "../../../common/gen/mesh/v1/token.ts";
import { sessionKeysFromJwks, verifySessionToken } from "../../../common/session/claims.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import { shop, startPlane, stopPlanes, watchMesh } from "../plane.ts";
import type { Clients, Plane } from "../plane.ts";

afterEach(stopPlanes);

const roles = `
---
apiVersion: countersign.dev/v1
kind: Role
metadata: { name: checkout, namespace: shop }
spec:
  maxSessionSeconds: 7200
  trustPolicy:
    Version: 2012-10-17
    Statement:
      - Effect: Allow
        Principal: { SPIFFE: "spiffe://prod.example/ns/shop/sa/storefront" }
        Action: [sts:AssumeRole, sts:SetSourceIdentity]
        Condition: { StringEquals: { mesh:Attestation: join-token, mesh:SourceNamespace: shop } }
      - { Effect: Allow, Principal: "*", Action: sts:TagSession, Condition: { StringEquals: { aws:RequestTag/team: payments } } }
`;
const arn = (role: string) => `arn:mesh:iam:prod.example:shop:role/${role}`;
const request = { roleArn: arn("checkout"), roleSessionName: "ab", durationSeconds: 0, policy: "", tags: {}, sourceIdentity: "" };
const document = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"orders:*","Resource":"*"}]}';
const padded = (length: number) => document.replace('"*"}', `"*","Sid":"${"a".repeat(length - document.length - 9)}"}`);

async function withShop(
  options: Parameters<typeof startPlane>[0] = {},
): Promise<{ plane: Plane; storefront: Clients; orders: Clients; day: string }> {
  const plane = await startPlane(options);
  await plane.apply(shop + roles);
  const [storefront, orders] = [plane.connect(await plane.join("storefront")), plane.connect(await plane.join("orders"))];
  return { plane, storefront, orders, day: new Date(options.clock?.now() ?? Date.now()).toISOString().slice(0, 10).replaceAll("-", "") };
}

test("a role is for those whom its trust policy names, and a service-linked role for its service alone", async () => {
  const { storefront, orders } = await withShop();
  const denied = { code: status.PERMISSION_DENIED, details: "the caller may not assume this role" };
  await expect(storefront.assumeRole(request)).resolves.toMatchObject({
    assumedRoleArn: "arn:mesh:sts:prod.example:shop:assumed-role/checkout/ab",
  });
  await expect(orders.assumeRole(request)).rejects.toMatchObject(denied);
  await expect(orders.assumeRole({ ...request, roleArn: arn("nobody") })).rejects.toMatchObject(denied);
  await expect(orders.assumeRole({ ...request, roleArn: arn("service-linked/storefront") })).rejects.toMatchObject(denied);
  await expect(orders.assumeRole({ ...request, roleArn: arn("service-linked/orders") })).resolves.toMatchObject({
    assumedRoleArn: "arn:mesh:sts:prod.example:shop:assumed-role/service-linked/orders/ab",
  });
  const tagged = { ...request, roleArn: arn("service-linked/orders"), tags: { team: "payments" } };
  await expect(orders.assumeRole(tagged)).rejects.toMatchObject(denied);
});

test("a session carries what it was given and what the mesh knows", async () => {
  const { plane, storefront, orders } = await withShop();
  const { sessionJwks } = await watchMesh(orders, "instance-orders").next();
  const given = { ...request, durationSeconds: 900, policy: document, tags: { team: "payments", "a b": "" }, sourceIdentity: "alice" };
  const issued = await storefront.assumeRole(given);
  const session = await verifySessionToken(issued.sessionToken, sessionKeysFromJwks(sessionJwks), {
    trustDomain: "prod.example",
    now: Date.now(),
  });
  expect(session).toMatchObject({ sessionName: "ab", sourceIdentity: "alice", sessionPolicy: document, attestation: "join-token" });
  expect(session.tags).toEqual(
    new Map([
      ["team", "payments"],
      ["a b", ""],
    ]),
  );
  expect(session.expiresAtSeconds - session.issuedAtSeconds).toBe(900);
  expect(issued.expiresAtSeconds).toBe(session.expiresAtSeconds);
  await expect(storefront.getCallerIdentity({ sessionToken: issued.sessionToken })).resolves.toMatchObject({ arn: issued.assumedRoleArn });
  await expect(orders.getCallerIdentity({ sessionToken: issued.sessionToken })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  const everything = JSON.stringify(plane.logs);
  for (const secret of [issued.secretAccessKey, issued.sessionToken]) expect(everything).not.toContain(secret);
});

const refused: readonly (readonly [string, Partial<AssumeRoleRequest>])[] = [
  ["a session name of one character", { roleSessionName: "a" }],
  ["a session name of 65", { roleSessionName: "a".repeat(65) }],
  ["a session name with a slash", { roleSessionName: "a/b" }],
  ["a session name with a line feed", { roleSessionName: "ab\n" }],
  ["899 seconds", { durationSeconds: 899 }],
  ["more than the role's maximum", { durationSeconds: 7201 }],
  ["a malformed ARN", { roleArn: "checkout" }],
  ["a session's ARN", { roleArn: "arn:mesh:sts:prod.example:shop:assumed-role/checkout/ab" }],
  ["a policy that is no JSON", { policy: "{" }],
  ["a policy with a principal", { policy: document.replace('"Action"', '"Principal":"*","Action"') }],
  ["a policy of 2049 characters", { policy: padded(2049) }],
  ["a source identity of one character", { sourceIdentity: "x" }],
  ["a tag without a key", { tags: { "": "x" } }],
  ["a tag of another alphabet", { tags: { "a\n": "x" } }],
  ["a tag's value of 257", { tags: { a: "x".repeat(257) } }],
  ["a reserved tag", { tags: { "aws:x": "x" } }],
  ["a tag twice but for case", { tags: { team: "payments", Team: "x" } }],
  ["51 tags", { tags: Object.fromEntries(Array.from({ length: 51 }, (_, index) => [`k${index}`, "v"])) }],
  [
    "tags beyond what a token holds",
    { tags: { team: "payments", ...Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`k${index}`, "v".repeat(256)])) } },
  ],
];

test("AssumeRole refuses what is outside of AWS's limits", async () => {
  const { storefront } = await withShop();
  const outcomes = refused.map(async ([name, change]) => {
    const code = await storefront.assumeRole({ ...request, ...change }).then(
      () => status.OK,
      (error: { code: number }) => error.code,
    );
    return [name, status[code]];
  });
  expect(await Promise.all(outcomes)).toEqual(refused.map(([name]) => [name, "INVALID_ARGUMENT"]));
});

test("tags need sts:TagSession for those very tags", async () => {
  const { storefront } = await withShop();
  await expect(storefront.assumeRole({ ...request, tags: { team: "fraud" } })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  await expect(storefront.assumeRole({ ...request, tags: { team: "payments" } })).resolves.toMatchObject({
    accessKeyId: expect.stringMatching(/^CSGN[A-Z2-7]{16}$/) as string,
  });
});

test("ResolveSession: the token has to be the mesh's, whole, and not expired", async () => {
  const clock = createFakeClock(Date.now());
  const { storefront, orders, day } = await withShop({ clock });
  const { sessionToken } = await storefront.assumeRole({ ...request, durationSeconds: 900 });
  const resolve = (token: string) => orders.resolveSession({ sessionToken: token, scopeService: "orders.shop", date: day });
  const [head = "", payload = "", signature = ""] = sessionToken.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = JSON.parse(Buffer.from(head, "base64url").toString()) as { alg: string; kid: string };
  const { privateKey } = await generateKeyPair("ES256");
  const forged = await new SignJWT(claims).setProtectedHeader(header).sign(privateKey);
  const hostile = [
    "",
    "x.y.z",
    `${encode({ ...header, alg: "none" })}.${payload}.`,
    `${head}.${encode({ ...claims, sub: arn("admin") })}.${signature}`,
    forged,
    sessionToken.slice(0, -4),
    "x".repeat(9000),
  ];
  for (const token of hostile) await expect(resolve(token)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
  await expect(resolve(sessionToken)).resolves.toMatchObject({ signingKey: expect.any(Buffer) as Buffer });
  clock.jump(900_000);
  await expect(resolve(sessionToken)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
});

test("a revoked, deleted or quarantined session gets no key, and the receiver is told the revision to wait for", async () => {
  const { plane, storefront, orders, day } = await withShop();
  const watching = watchMesh(orders, "instance-orders");
  const { sessionToken } = await storefront.assumeRole(request);
  const resolve = () => orders.resolveSession({ sessionToken, scopeService: "orders.shop", date: day });
  const role = roles.replace("spec:", `spec:\n  revokeSessionsIssuedBefore: "${new Date(Date.now() + 60_000).toISOString()}"`);
  await plane.apply(role.replace("---", ""));
  await expect(resolve()).rejects.toMatchObject({ code: status.PERMISSION_DENIED, details: "the session is revoked" });
  await watching.until(({ revocations }) => revocations?.roles[0]?.roleArn === arn("checkout"));
  await plane.apply(
    roles
      .replace("---", "")
      .replace(
        "maxSessionSeconds",
        "permissionPolicies: [{ Version: 2012-10-17, Statement: { Effect: Allow, Action: 'orders:*', Resource: '*' } }]\n  maxSessionSeconds",
      ),
  );
  const { revision } = await resolve();
  const snapshot = await watching.until((each) => each.revision >= revision);
  expect(snapshot.roles.map(({ roleArn }) => roleArn)).toContain(arn("checkout"));
  await plane.admin.deleteResource({ kind: "Role", namespace: "shop", name: "checkout" });
  await expect(resolve()).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
});
