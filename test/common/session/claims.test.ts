import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { expect, test } from "vitest";
import { SessionTokenError, sessionKeysFromJwks, verifySessionToken } from "../../../common/session/claims.ts";
import { regionOfTrustDomain } from "../../../common/session/region.ts";

const now = Date.UTC(2026, 0, 15, 12);
const seconds = now / 1000;
const { privateKey, publicKey } = await generateKeyPair("ES256");
const jwk = { ...(await exportJWK(publicKey)), kid: "E1", alg: "ES256", use: "sig" };
const keys = sessionKeysFromJwks(JSON.stringify({ keys: [jwk] }));

const claims = {
  iss: "prod.example",
  aud: "mesh/prod.example",
  sub: "arn:mesh:iam:prod.example:shop:role/checkout",
  jti: "CSGNEABCDEFGHIJKLMNO",
  iat: seconds,
  exp: seconds + 900,
  ssn: "storefront",
  cnf: { spiffe: "spiffe://prod.example/ns/shop/sa/storefront" },
  att: "join-token",
  tags: [
    ["team", "payments"],
    ["__proto__", "x"],
  ],
};
const header = { alg: "ES256", typ: "csn-session+jwt", kid: "E1" };

const sign = (payload: object, head: object = header, key = privateKey) =>
  new SignJWT(payload as Record<string, unknown>).setProtectedHeader(head as typeof header).sign(key);
const verify = (token: string, at = now) => verifySessionToken(token, keys, { trustDomain: "prod.example", now: at });
const codeOf = async (token: string, at = now) => {
  const error = await verify(token, at).then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(SessionTokenError);
  return (error as SessionTokenError).code;
};

test("a valid token says what the session is", async () => {
  const session = await verify(await sign({ ...claims, src: "alice", policy: "{}" }));
  expect(session).toEqual({
    accessKeyId: claims.jti,
    trustDomain: "prod.example",
    roleArn: claims.sub,
    sessionName: "storefront",
    spiffeId: claims.cnf.spiffe,
    attestation: "join-token",
    tags: new Map([
      ["team", "payments"],
      ["__proto__", "x"],
    ]),
    sourceIdentity: "alice",
    sessionPolicy: "{}",
    issuedAtSeconds: seconds,
    expiresAtSeconds: seconds + 900,
  });
});

test("it expires at exp to the second", async () => {
  const token = await sign(claims);
  await expect(verify(token, now + 899_999)).resolves.toMatchObject({ sessionName: "storefront" });
  expect(await codeOf(token, now + 900_000)).toBe("expired");
});

test.each([
  ["another issuer", { ...claims, iss: "other.example" }, header, "wrong-issuer"],
  ["another audience", { ...claims, aud: "mesh/other.example" }, header, "wrong-audience"],
  ["no audience", { ...claims, aud: undefined }, header, "wrong-audience"],
  ["a list of audiences", { ...claims, aud: ["mesh/prod.example", "x"] }, header, "bad-claim"],
  ["another type", claims, { ...header, typ: "JWT" }, "wrong-type"],
  ["no type", claims, { alg: "ES256", kid: "E1" }, "wrong-type"],
  ["another key id", claims, { ...header, kid: "E2" }, "unknown-key"],
  ["no key id", claims, { alg: "ES256", typ: header.typ }, "unknown-key"],
  ["no subject", { ...claims, sub: undefined }, header, "bad-claim"],
  ["a subject that is no role", { ...claims, sub: "spiffe://prod.example/x" }, header, "bad-claim"],
  ["no expiry", { ...claims, exp: undefined }, header, "bad-claim"],
  ["no binding", { ...claims, cnf: undefined }, header, "bad-claim"],
  ["an empty binding", { ...claims, cnf: {} }, header, "bad-claim"],
  ["a session name of one character", { ...claims, ssn: "a" }, header, "bad-claim"],
  ["a line feed in the session name", { ...claims, ssn: "ab\n" }, header, "bad-claim"],
  ["an unknown claim", { ...claims, admin: true }, header, "bad-claim"],
  ["an access key id of another form", { ...claims, jti: "AKIAIOSFODNN7EXAMPLE" }, header, "bad-claim"],
  ["issued in the future", { ...claims, iat: seconds + 301, exp: seconds + 900 }, header, "not-yet-valid"],
  ["expiry before issuance", { ...claims, iat: seconds + 100, exp: seconds + 50 }, header, "bad-claim"],
  ["51 tags", { ...claims, tags: Array.from({ length: 51 }, (_, index) => [`k${index}`, "v"]) }, header, "bad-claim"],
])("refuses %s", async (_name, payload, head, code) => {
  expect(await codeOf(await sign(payload, head))).toBe(code);
});

test("refuses what another key signed under our key's id", async () => {
  const other = await generateKeyPair("ES256");
  expect(await codeOf(await sign(claims, header, other.privateKey))).toBe("bad-signature");
});

test("refuses alg none and HMAC under the public key", async () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  expect(await codeOf(`${encode({ ...header, alg: "none" })}.${encode(claims)}.`)).toBe("wrong-algorithm");
  const { createHmac } = await import("node:crypto");
  const input = `${encode({ ...header, alg: "HS256" })}.${encode(claims)}`;
  const mac = createHmac("sha256", JSON.stringify(jwk)).update(input).digest("base64url");
  expect(await codeOf(`${input}.${mac}`)).toBe("wrong-algorithm");
});

test("refuses a token altered in any part", async () => {
  const token = await sign(claims);
  const parts = token.split(".");
  const altered = Buffer.from(JSON.stringify({ ...claims, sub: "arn:mesh:iam:prod.example:shop:role/admin" })).toString("base64url");
  expect(await codeOf(`${parts[0]}.${altered}.${parts[2]}`)).toBe("bad-signature");
  for (const text of ["", ".", "..", "a.b.c", token.slice(0, -10), `${token}x`, "x".repeat(100_000)]) {
    expect(["malformed", "bad-signature"]).toContain(await codeOf(text));
  }
});

test("keys come from a JWKS document alone", () => {
  for (const text of ["", "[]", "{}", '{"keys":1}']) expect(() => sessionKeysFromJwks(text)).toThrow(SessionTokenError);
});

test("the default region is the trust domain with hyphens", () => {
  expect(regionOfTrustDomain("prod.example")).toBe("prod-example");
});
