/**
 * Ours held against the signer of AWS's JavaScript SDK on generated requests, both ways. Where the two differ by design, theirs
 * is told: it leaves out some fields that ours signs (cache-control, referer, sec-*, …) and the reverse. It also deletes `date`
 * before it signs, so no request here has one.
 */
import { createHash, createHmac, hash, type BinaryLike, type Hash, type Hmac } from "node:crypto";
import { SignatureV4 } from "@smithy/signature-v4";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createField, type Field } from "../../../common/http/field.ts";
import { normalizeTarget } from "../../../common/http/request-target.ts";
import { formatAmzDate } from "../../../common/sigv4/amz-date.ts";
import { parseAuthorization } from "../../../common/sigv4/authorization.ts";
import { orderForPresigned, orderForSigning } from "../../../common/sigv4/header-order.ts";
import { parseQueryAuthorization } from "../../../common/sigv4/query-authorization.ts";
import { createRequestSigner } from "../../../common/sigv4/sign.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";

const credentials = { accessKeyId: "CSGNA234567ABCDEFGHI", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" };
const region = "prod-example";
const service = "orders.shop";

class NodeSha256 {
  readonly #state: Hash | Hmac;
  constructor(secret?: unknown) {
    this.#state = secret === undefined ? createHash("sha256") : createHmac("sha256", secret as BinaryLike);
  }
  update(data: Uint8Array): void {
    this.#state.update(data);
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(new Uint8Array(this.#state.digest()));
  }
  reset(): void {
    throw new Error("the signer never resets a hash");
  }
}

const theirs = new SignatureV4({ credentials, region, service, sha256: NodeSha256 });

/** The bytes that go over the wire for a string that an SDK is given. */
const utf8 = (text: string) => Buffer.from(text).toString("latin1");
/** As HTTP does it: spaces and tabs, and no other white space. */
const trimField = (value: string) => value.replaceAll(/^[ \t]+|[ \t]+$/g, "");
const encode = (text: string) =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

const text = (maxLength: number) => fc.string({ unit: "grapheme", maxLength });
const segment = fc.oneof(
  { weight: 3, arbitrary: text(8).filter((value) => !/[/\\\0]/.test(value)) },
  { weight: 1, arbitrary: fc.constantFrom(".", "..", "", "a b", "%41", "é;=+", "..;x") },
);
const path = fc.array(segment, { maxLength: 6 }).map((segments) => `/${segments.map(encode).join("/")}`);
const query = fc.dictionary(
  text(5).filter((name) => name !== "__proto__" && !/^x-amz-/i.test(name)),
  fc.array(text(6), { minLength: 1, maxLength: 3 }),
  { maxKeys: 6 },
);
const name = fc.oneof(
  fc.stringMatching(/^[a-z][a-z0-9_-]{0,8}$/),
  fc.constantFrom(
    "content-type",
    "cache-control",
    "referer",
    "user-agent",
    "accept",
    "x-amz-meta-a",
    "x-countersign-sequence",
    "te",
    "sec-x",
  ),
  fc.constantFrom("constructor", "x-forwarded-for", "traceparent", "content-length", "proxy-x", "a!#$%&'*+.^_`|~z"),
);
const value = fc
  .oneof(fc.string({ maxLength: 20 }), text(10), fc.constantFrom("a   b", '"a  b"', "a \t b", ""))
  .map((value) => trimField(value.replaceAll(/[\r\n\0]/g, "")));
const headers = fc
  .uniqueArray(fc.tuple(name, fc.array(value, { minLength: 1, maxLength: 3 })), { selector: ([name]) => name, maxLength: 12 })
  .filter((entries) => entries.every(([name]) => !["host", "date", "authorization"].includes(name)));

const call = fc.record({
  method: fc.constantFrom("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "M-SEARCH"),
  path,
  query,
  headers,
  host: fc.constantFrom("orders.shop", "orders.shop:8080", "ORDERS.shop", "[::1]:8080"),
  body: fc.oneof(fc.constant(undefined), fc.string({ unit: "grapheme" })),
  epochSeconds: fc.integer({ min: 1_700_000_000, max: 1_900_000_000 }),
  sessionToken: fc.oneof(fc.constant(undefined), fc.base64String({ minLength: 4, maxLength: 700 })),
});
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

function wireTarget({ path, query }: Call): { path: string; query: string } {
  const parameters = Object.entries(query).flatMap(([name, values]) => values.map((value) => `${encode(name)}=${encode(value)}`));
  // Theirs sorts; the wire need not be sorted.
  return normalizeTarget(`${path}?${parameters.toReversed().join("&")}`, { allowEncodedSlashes: false });
}

function theirRequest(call: Call, extra: Record<string, string>) {
  const headers: Record<string, string> = { host: call.host, ...extra };
  for (const [name, values] of call.headers) headers[name] = values.join(",");
  const request = { method: call.method, protocol: "https:", hostname: "orders.shop", path: call.path, query: call.query, headers };
  return call.body === undefined ? request : { ...request, body: call.body };
}

test("theirs signs, ours verifies", async () => {
  await fc.assert(
    fc.asyncProperty(call, async (call) => {
      const { sessionToken, epochSeconds } = call;
      const signer = new SignatureV4({
        credentials: sessionToken === undefined ? credentials : { ...credentials, sessionToken },
        region,
        service,
        sha256: NodeSha256,
      });
      const signed = await signer.sign(theirRequest(call, {}), { signingDate: new Date(epochSeconds * 1000) });
      const sent = Object.entries(signed.headers).filter(([name]) => name !== "host" && name !== "authorization");
      const fields = sent.map(([name, value]) => createField(name, trimField(utf8(value))));
      const authorization = parseAuthorization(signed.headers["authorization"] ?? "");
      const { date, ...scope } = authorization.claim.scope;
      expect(scope).toEqual({ region, service });
      const key = createSigningKey(credentials.secretAccessKey, date, region, service);
      const request = {
        method: call.method,
        ...wireTarget(call),
        host: createField("host", call.host),
        fields,
        payloadHash: hash("sha256", call.body ?? ""),
      };
      verifyRequest(request, authorization, key);
      const other = { ...request, method: `${request.method}X` };
      expect(() => verifyRequest(other, authorization, key)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
    }),
    { numRuns: 300 },
  );
});

test("theirs presigns, ours verifies", async () => {
  const expiresIn = fc.integer({ min: 1, max: 604_800 });
  await fc.assert(
    fc.asyncProperty(call, expiresIn, fc.boolean(), async (call, expiresIn, declares) => {
      const { sessionToken, epochSeconds, body } = call;
      const signer = new SignatureV4({
        credentials: sessionToken === undefined ? credentials : { ...credentials, sessionToken },
        region,
        service,
        sha256: NodeSha256,
      });
      const declared: Record<string, string> = declares ? { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } : {};
      const presigned = await signer.presign(theirRequest(call, declared), { signingDate: new Date(epochSeconds * 1000), expiresIn });
      const fields = Object.entries(presigned.headers)
        .filter(([name]) => name !== "host")
        .map(([name, value]) => createField(name, trimField(utf8(value))));
      // Theirs makes parameters of x-amz-* fields.
      const parameters = Object.entries(presigned.query ?? {}).flatMap(([name, values]) =>
        [values ?? []].flat().map((value) => `${encode(name)}=${encode(value)}`),
      );
      const target = normalizeTarget(`${call.path}?${parameters.join("&")}`, { allowEncodedSlashes: false });
      const parsed = parseQueryAuthorization(target.query);
      expect(parsed).toMatchObject({ amzDate: formatAmzDate(epochSeconds), expiresSeconds: expiresIn });
      expect(parsed.securityToken).toBe(sessionToken ?? "");
      expect(parsed.contentSha256).toBe(declared["x-amz-content-sha256"]);
      const { claim } = parsed.authorization;
      const order = orderForPresigned(fields, claim.signedHeaders);
      const request = {
        method: call.method,
        path: target.path,
        query: parsed.signedQuery,
        host: createField("host", call.host),
        fields,
        payloadHash: parsed.contentSha256 ?? hash("sha256", body ?? ""),
      };
      const key = createSigningKey(credentials.secretAccessKey, claim.scope.date, region, service);
      verifyRequest(request, parsed.authorization, key, order, parsed.amzDate);
      const other = { ...request, method: `${request.method}X` };
      expect(() => verifyRequest(other, parsed.authorization, key, order, parsed.amzDate)).toThrow(
        expect.objectContaining({ code: "signature-mismatch" }),
      );
    }),
    { numRuns: 300 },
  );
});

test("ours signs what theirs signs", async () => {
  await fc.assert(
    fc.asyncProperty(call, async (call) => {
      const amzDate = formatAmzDate(call.epochSeconds);
      const payloadHash = hash("sha256", call.body ?? "");
      const extra: Record<string, string> = { "x-amz-content-sha256": payloadHash };
      if (call.sessionToken !== undefined) extra["x-amz-security-token"] = call.sessionToken;
      const fields: Field[] = call.headers.flatMap(([name, values]) =>
        name === "x-countersign-sequence"
          ? [createField(name, utf8(values.join(",")))]
          : values.map((value) => createField(name, utf8(value))),
      );
      fields.push(createField("x-amz-date", amzDate), ...Object.entries(extra).map(([name, value]) => createField(name, value)));
      const request = { method: call.method, ...wireTarget(call), host: createField("host", call.host), fields, payloadHash };

      const signingKey = createSigningKey(credentials.secretAccessKey, amzDate.slice(0, 8), region, service);
      const options = { accessKeyId: credentials.accessKeyId, signingKey, date: amzDate.slice(0, 8), region, service };
      const authorization = createRequestSigner(options)(request);

      const signableHeaders = new Set(orderForSigning(fields).text.split(";"));
      const unsignableHeaders = new Set(fields.map((field) => field.name).filter((name) => !signableHeaders.has(name)));
      const signingDate = new Date(call.epochSeconds * 1000);
      const expected = await theirs.sign(theirRequest(call, extra), { signingDate, signableHeaders, unsignableHeaders });
      expect(authorization).toBe(expected.headers["authorization"]);
      verifyRequest(request, parseAuthorization(authorization), signingKey);
    }),
    { numRuns: 300 },
  );
});
