import { hash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { findField } from "../../../common/http/field.ts";
import { hasQueryAuthentication } from "../../../common/sigv4/canonical-query.ts";
import { canonicalRequest, stringToSign, type SignableRequest } from "../../../common/sigv4/canonical-request.ts";
import { hmacSha256Hex } from "../../../common/sigv4/digest.ts";
import { orderForPresigned } from "../../../common/sigv4/header-order.ts";
import { parseQueryAuthorization, type QueryAuthorization } from "../../../common/sigv4/query-authorization.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";
import { pathAndQuery, readVectors, type VectorCase } from "./vectors.ts";

const vectors = readVectors("query");
if (vectors.length === 0) process.stderr.write("SigV4 vectors of presigned URLs skipped: ../shared/vectors/sigv4 is not there\n");

function signable(vector: VectorCase, { signedQuery, contentSha256 }: QueryAuthorization): SignableRequest {
  const { method, host, fields, body } = vector.signed;
  const declared = findField(fields, "x-amz-content-sha256")?.value ?? contentSha256;
  return { method, path: pathAndQuery(vector).path, query: signedQuery, host, fields, payloadHash: declared ?? hash("sha256", body) };
}

const keyOf = ({ secretAccessKey, region, service }: VectorCase, { authorization }: QueryAuthorization) =>
  createSigningKey(secretAccessKey, authorization.claim.scope.date, region, service);

describe.skipIf(vectors.length === 0)("AWS's SigV4 vectors, query authentication", () => {
  test("there are 38", () => {
    expect(vectors).toHaveLength(38);
  });

  describe.each(vectors.filter((vector) => !vector.omitsSessionToken))("$name", (vector) => {
    const { query } = pathAndQuery(vector);
    const parsed = parseQueryAuthorization(query);
    const { authorization, amzDate } = parsed;
    const request = signable(vector, parsed);
    const order = orderForPresigned(request.fields, authorization.claim.signedHeaders);
    const key = keyOf(vector, parsed);

    test("canonical request, string to sign and signature", () => {
      expect(hasQueryAuthentication(query)).toBe(true);
      expect(canonicalRequest(request, order)).toBe(vector.canonicalRequest);
      expect(stringToSign(request, order, amzDate, authorization.claim.scopeText)).toBe(vector.stringToSign);
      expect(hmacSha256Hex(key, vector.stringToSign)).toBe(vector.signature);
    });

    test("the published signature verifies, and another does not", () => {
      expect(authorization.signature).toBe(vector.signature);
      expect(parsed).toMatchObject({ amzDate: "20150830T123600Z", expiresSeconds: 3600 });
      expect(verifyRequest(request, authorization, key, order, amzDate)).toBe(order);
      const first = vector.signature.startsWith("0") ? "1" : "0";
      const altered = { ...authorization, signature: first + vector.signature.slice(1) };
      expect(() => verifyRequest(request, altered, key, order, amzDate)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
    });

    test("what is left for the application is what it was before it was signed", () => {
      expect(hasQueryAuthentication(parsed.applicationQuery)).toBe(false);
      expect(parsed.applicationQuery).toBe(query.replace(/&?X-Amz-Algorithm=.*$/, ""));
    });
  });

  // AWS lets a client add its session token after signing. Here all of the query but the signature is signed.
  describe.each(vectors.filter((vector) => vector.omitsSessionToken))("$name: token added after signing", (vector) => {
    const { query } = pathAndQuery(vector);
    const verify = (text: string) => {
      const parsed = parseQueryAuthorization(text);
      const request = signable(vector, parsed);
      const order = orderForPresigned(request.fields, parsed.authorization.claim.signedHeaders);
      verifyRequest(request, parsed.authorization, keyOf(vector, parsed), order, parsed.amzDate);
      return canonicalRequest(request, order);
    };

    test("is refused, and verifies without the token", () => {
      expect(() => verify(query)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
      expect(verify(query.replace(/&X-Amz-Security-Token=[^&]*/, ""))).toBe(vector.canonicalRequest);
    });
  });
});
