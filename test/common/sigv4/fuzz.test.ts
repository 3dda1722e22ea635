/**
 * The parsers of signatures under text that is nearly right, or not at all: they throw nothing but SigV4Error, accept nothing
 * that a plainer parser refuses, and nothing verifies but what was signed.
 *
 * FUZZ_RUNS sets how many texts each property is given.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createField } from "../../../common/http/field.ts";
import { formatClaim, parseAuthorization, type ParsedAuthorization } from "../../../common/sigv4/authorization.ts";
import { canonicalQuery, hasQueryAuthentication } from "../../../common/sigv4/canonical-query.ts";
import { stringToSign, type SignableRequest } from "../../../common/sigv4/canonical-request.ts";
import { hmacSha256Hex } from "../../../common/sigv4/digest.ts";
import { SigV4Error } from "../../../common/sigv4/error.ts";
import { orderForPresigned } from "../../../common/sigv4/header-order.ts";
import { emptyPayloadHash } from "../../../common/sigv4/payload-hash.ts";
import { parseQueryAuthorization } from "../../../common/sigv4/query-authorization.ts";
import { createRequestSigner } from "../../../common/sigv4/sign.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";
import { mutated } from "./mutations.ts";
import { naiveAuthorization, naiveParameters, naivePresigned, type NaiveSignature } from "./naive-parsers.ts";

const numRuns = Number(process.env["FUZZ_RUNS"] ?? 3000);

const scope = { date: "20260915", region: "prod-example", service: "orders.shop" };
const scopeText = "20260915/prod-example/orders.shop/aws4_request";
const accessKeyId = "CSGNA234567ABCDEFGHI";
const amzDate = "20260915T120000Z";
const key = createSigningKey("secret", scope.date, scope.region, scope.service);
const host = createField("host", "orders.shop");
const fields = [createField("accept", "*/*"), createField("x-amz-date", amzDate)];
const request: SignableRequest = { method: "GET", path: "/a", query: "b=1", host, fields, payloadHash: emptyPayloadHash };
const signedValue = createRequestSigner({ accessKeyId, signingKey: key, ...scope })(request);

/** What was made of it, or the code of the refusal. */
function outcome<T>(parse: () => T): T | string {
  try {
    return parse();
  } catch (error) {
    if (error instanceof SigV4Error) return error.code;
    throw error;
  }
}

function plain({ claim, signature }: ParsedAuthorization): NaiveSignature {
  return { credential: `${claim.accessKeyId}/${claim.scopeText}`, signedHeaders: claim.signedHeaders, signature };
}

const digits = fc.stringMatching(/^[0-9a-f]{64}$/);
const name = fc.stringMatching(/^[a-z0-9-]{1,10}$/);
const headerNames = fc.array(name, { maxLength: 5 }).map((names) =>
  [...new Set([...names, "host"])]
    .filter((each) => each !== "authorization")
    .sort()
    .join(";"),
);
const credential = fc
  .tuple(
    fc.stringMatching(/^\w{1,20}$/),
    fc.stringMatching(/^\d{8}$/),
    fc.stringMatching(/^[a-z0-9-]{1,12}$/),
    fc.stringMatching(/^[a-z0-9.-]{1,12}$/),
  )
  .map((parts) => [...parts, "aws4_request"] as const);

describe("the Authorization field", () => {
  const wellFormed = fc
    .tuple(credential, headerNames, digits)
    .map(([[id, ...rest], names, digest]) => formatClaim(id, rest.join("/"), names) + digest);
  const pieces = [
    "Credential=",
    "SignedHeaders=",
    "Signature=",
    ",",
    ", ",
    ";",
    "/",
    "=",
    " ",
    "\t",
    "host",
    "aws4_request",
    "AWS4-HMAC-SHA256 ",
    "\u00a0",
    "\0",
    '"',
  ];
  const nearly = mutated(fc.oneof(wellFormed, fc.constant(signedValue)), pieces, [", ", ";", "/", "="]);

  test("is taken as AWS's signers write it", () => {
    fc.assert(
      fc.property(wellFormed, (value) => {
        expect(plain(parseAuthorization(value))).toEqual(naiveAuthorization(value));
      }),
      { numRuns },
    );
  });

  test("is refused with a code, or read as a plainer parser reads it, the second time as the first", () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: nearly }, { weight: 1, arbitrary: fc.string({ unit: "binary" }) }), (value) => {
        const first = outcome(() => plain(parseAuthorization(value)));
        expect(outcome(() => plain(parseAuthorization(value)))).toEqual(first);
        expect(typeof first === "string" ? first : naiveAuthorization(value)).toEqual(first);
      }),
      { numRuns },
    );
  });

  test("verifies only where it says what was signed", () => {
    // SigV4 does not sign the access key id: it is the session that says whose the key is.
    const signedParts = (value: string) => {
      const naive = naiveAuthorization(value);
      return { ...naive, credential: naive?.credential.slice(naive.credential.indexOf("/")) };
    };
    const original = signedParts(signedValue);
    fc.assert(
      fc.property(mutated(fc.constant(signedValue), pieces, [", ", ";", "/", "="]), (value) => {
        const verified = outcome(() => verifyRequest(request, parseAuthorization(value), key));
        expect(typeof verified === "string" ? original : signedParts(value)).toEqual(original);
      }),
      { numRuns },
    );
  });
});

describe("a signature in the query", () => {
  const encode = (text: string) => encodeURIComponent(text);
  const own = fc.array(fc.tuple(fc.stringMatching(/^[a-z]{1,5}$/), fc.string({ maxLength: 5 })), { maxLength: 3 });
  const token = fc.string({ unit: "grapheme-ascii", maxLength: 20 });
  const wellFormed = fc
    .record({ credential, headerNames, digits, own, token, expires: fc.integer({ min: 1, max: 604_800 }), hash: fc.option(digits) })
    .map((made) => {
      const parameters: [string, string][] = [
        ...made.own,
        ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"],
        ["X-Amz-Credential", made.credential.join("/")],
        ["X-Amz-Date", amzDate],
        ["X-Amz-Expires", String(made.expires)],
        ["X-Amz-SignedHeaders", made.headerNames],
        ["X-Amz-Security-Token", made.token],
        ["X-Amz-Signature", made.digits],
      ];
      if (made.hash !== null) parameters.push(["x-amz-content-sha256", made.hash]);
      return parameters.map(([parameter, value]) => `${encode(parameter)}=${encode(value)}`).join("&");
    });
  const unsignedQuery = `b=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${accessKeyId}/${scopeText}&X-Amz-Date=${amzDate}&X-Amz-Expires=60&X-Amz-SignedHeaders=accept%3Bhost&X-Amz-Security-Token=a%2Bb&c=%7e&c`;
  const presignable = { ...request, query: unsignedQuery, fields: fields.slice(0, 1) };
  const signature = hmacSha256Hex(key, stringToSign(presignable, orderForPresigned(presignable.fields, "accept;host"), amzDate, scopeText));
  const signedQuery = `${unsignedQuery}&X-Amz-Signature=${signature}`;
  const pieces = [
    "X-Amz-",
    "x-amz-",
    "Signature",
    "Credential=",
    "&",
    "&&",
    "=",
    ";",
    "%",
    "%2",
    "%2F",
    "%3B",
    "%00",
    "%26",
    "%3D",
    "+",
    "#",
    "b=1",
    "\u00e9",
  ];
  const nearly = mutated(fc.oneof(wellFormed, fc.constant(signedQuery)), pieces, ["&", "=", "%3B", "%2F"]);

  function plainQuery(query: string) {
    const { authorization, amzDate: date, expiresSeconds: expires, contentSha256: declared, ...rest } = parseQueryAuthorization(query);
    return { rest, plain: { ...plain(authorization), date, expires, token: rest.securityToken, declared } };
  }

  function naiveQuery(query: string) {
    const { others: _, ...parts } = naivePresigned(query) ?? { others: [] };
    return parts;
  }

  test("is taken as AWS's signers write it", () => {
    fc.assert(
      fc.property(wellFormed, (query) => {
        expect(plainQuery(query).plain).toEqual(naiveQuery(query));
      }),
      { numRuns },
    );
  });

  test("is refused with a code, or read as a plainer parser reads it, and taken off whole", () => {
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: nearly }, { weight: 1, arbitrary: fc.string({ maxLength: 40 }) }), (query) => {
        const read = outcome(() => (hasQueryAuthentication(query) ? plainQuery(query) : "none"));
        if (typeof read === "string") return;
        expect(read.plain).toEqual(naiveQuery(query));
        expect(hasQueryAuthentication(read.rest.applicationQuery)).toBe(false);
        expect(naiveParameters(read.rest.applicationQuery)).toEqual(naivePresigned(query)?.others);
        expect(canonicalQuery(read.rest.signedQuery)).not.toMatch(/(?:^|&)X-Amz-Signature=/);
      }),
      { numRuns },
    );
  });

  test("is noticed wherever a plainer parser finds one", () => {
    fc.assert(
      fc.property(nearly, (query) => {
        const naive = naiveParameters(query).some(([parameter]) => /^x-amz-(?:signature|credential|algorithm)$/i.test(parameter));
        const noticed = outcome(() => hasQueryAuthentication(query));
        expect(typeof noticed === "string" ? "malformed-query" : noticed).toBe(typeof noticed === "string" ? noticed : naive);
      }),
      { numRuns },
    );
  });

  test("verifies only where the parameters are those that were signed", () => {
    const parametersOf = (query: string) =>
      naiveParameters(query)
        .map(([parameter, value]) => `${parameter}=${value}`)
        .sort();
    const original = parametersOf(signedQuery);
    fc.assert(
      fc.property(mutated(fc.constant(signedQuery), pieces, ["&", "=", "%3B", "%2F"]), (query) => {
        const verified = outcome(() => {
          const parsed = parseQueryAuthorization(query);
          const order = orderForPresigned(presignable.fields, parsed.authorization.claim.signedHeaders);
          return verifyRequest({ ...presignable, query: parsed.signedQuery }, parsed.authorization, key, order, parsed.amzDate);
        });
        expect(typeof verified === "string" ? original : parametersOf(query)).toEqual(original);
      }),
      { numRuns },
    );
  });
});

// What the fuzzing found to be otherwise than one might think.
describe("found cases", () => {
  test("the access key id is not signed: whoever verifies holds it against the session's", () => {
    const other = signedValue.replace("Credential=C", "Credential=c");
    expect(verifyRequest(request, parseAuthorization(other), key).text).toBe("accept;host;x-amz-date");
  });

  test("a malformed escape in the application's own value is found when a signature is looked for", () => {
    const query = `=%a=&X-Amz-Signature=${"0".repeat(64)}`;
    expect(outcome(() => hasQueryAuthentication(query))).toBe("malformed-query");
    expect(outcome(() => canonicalQuery(query))).toBe("malformed-query");
  });

  test("a value may hold what looks like more of the signature", () => {
    const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${accessKeyId}/${scopeText}&X-Amz-Date=${amzDate}=&X-Amz-Expires=60&X-Amz-SignedHeaders=host&a=&X-Amz-Signature=${"0".repeat(64)}&=X-Amz-Signature=1`;
    expect(parseQueryAuthorization(query)).toMatchObject({ amzDate: `${amzDate}=`, applicationQuery: "a=&=X-Amz-Signature=1" });
  });
});
