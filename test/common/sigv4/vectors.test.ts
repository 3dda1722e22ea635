import { hash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { findField } from "../../../common/http/field.ts";
import { isSigned, parseAuthorization } from "../../../common/sigv4/authorization.ts";
import { canonicalRequest, stringToSign, type SignableRequest } from "../../../common/sigv4/canonical-request.ts";
import { orderForSigning, orderForVerifying } from "../../../common/sigv4/header-order.ts";
import { createRequestSigner } from "../../../common/sigv4/sign.ts";
import { createSigningKey } from "../../../common/sigv4/signing-key.ts";
import { uriEncodePath } from "../../../common/sigv4/uri-encode.ts";
import { verifyRequest } from "../../../common/sigv4/verify.ts";
import { pathAndQuery, readVectors, type VectorCase } from "./vectors.ts";

const vectors = readVectors("header");
if (vectors.length === 0) process.stderr.write("SigV4 vectors skipped: ../shared/vectors/sigv4 is not there\n");

function signable(vector: VectorCase): SignableRequest {
  const { method, host, fields, body } = vector.signed;
  const declared = findField(fields, "x-amz-content-sha256");
  return { method, ...pathAndQuery(vector), host, fields, payloadHash: declared?.value ?? hash("sha256", body) };
}

function authorizationOf(vector: VectorCase) {
  return parseAuthorization(findField(vector.signed.fields, "authorization")?.value ?? "");
}

describe.skipIf(vectors.length === 0)("AWS's SigV4 vectors, header authentication", () => {
  test("there are 38", () => {
    expect(vectors).toHaveLength(38);
  });

  describe.each(vectors.filter((vector) => !vector.omitsSessionToken))("$name", (vector) => {
    const request = signable(vector);
    const authorization = authorizationOf(vector);
    const { claim } = authorization;
    const date = findField(request.fields, "x-amz-date")?.value ?? "";
    const key = createSigningKey(vector.secretAccessKey, claim.scope.date, vector.region, vector.service);

    test("canonical request and string to sign", () => {
      const order = orderForVerifying(request.fields, claim.signedHeaders);
      expect(canonicalRequest(request, order)).toBe(vector.canonicalRequest);
      expect(stringToSign(request, order, date, claim.scopeText)).toBe(vector.stringToSign);
    });

    test("the published signature verifies, and another does not", () => {
      expect(authorization.signature).toBe(vector.signature);
      verifyRequest(request, authorization, key);
      const first = vector.signature.startsWith("0") ? "1" : "0";
      const altered = { claim, signature: first + vector.signature.slice(1) };
      expect(() => verifyRequest(request, altered, key)).toThrow(expect.objectContaining({ code: "signature-mismatch" }));
    });
  });

  // Ours leaves Content-Length out, and two vectors have it in.
  const signedAsOurs = vectors.filter((vector) => !vector.omitsSessionToken && !isSigned(authorizationOf(vector), "content-length"));
  test.each(signedAsOurs)("$name: signing gives the published Authorization", (vector) => {
    const request = signable(vector);
    const { claim } = authorizationOf(vector);
    const key = createSigningKey(vector.secretAccessKey, claim.scope.date, vector.region, vector.service);
    const sign = createRequestSigner({ accessKeyId: claim.accessKeyId, signingKey: key, ...claim.scope });
    expect(orderForSigning(request.fields).text).toBe(claim.signedHeaders);
    expect(sign(request)).toBe(findField(request.fields, "authorization")?.value);
  });

  // AWS lets a client add its session token after signing. Here every x-amz-* field has to be signed.
  describe.each(vectors.filter((vector) => vector.omitsSessionToken))("$name: token added after signing", (vector) => {
    const request = signable(vector);
    const authorization = authorizationOf(vector);
    const { claim } = authorization;
    const key = createSigningKey(vector.secretAccessKey, claim.scope.date, vector.region, vector.service);

    test("is refused", () => {
      expect(() => verifyRequest(request, authorization, key)).toThrow(expect.objectContaining({ code: "unsigned-amz-header" }));
    });

    test("and verifies without the token, with the published canonical request and signature", () => {
      const before = { ...request, fields: request.fields.filter((field) => field.name !== "x-amz-security-token") };
      const order = verifyRequest(before, authorization, key);
      expect(canonicalRequest(before, order)).toBe(vector.canonicalRequest);
      expect(authorization.signature).toBe(vector.signature);
    });
  });
});

test("paths that clients have to escape are encoded as the vectors have them", () => {
  expect(uriEncodePath("/example space/")).toBe("/example%20space/");
  expect(uriEncodePath(Buffer.from("/ሴ").toString("latin1"))).toBe("/%E1%88%B4");
});
