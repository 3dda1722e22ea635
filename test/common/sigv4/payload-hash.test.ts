import { hash } from "node:crypto";
import { expect, test } from "vitest";
import { emptyPayloadHash, parsePayloadHash } from "../../../common/sigv4/payload-hash.ts";

test("the hash of nothing", () => {
  expect(emptyPayloadHash).toBe(hash("sha256", ""));
});

test.each([
  [hash("sha256", "body"), "hashed"],
  [emptyPayloadHash, "hashed"],
  ["UNSIGNED-PAYLOAD", "unsigned"],
  ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "streamed"],
  ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "streamed"],
])("%s is %s", (value, mode) => {
  expect(parsePayloadHash(value)).toEqual({ mode, value });
});

test.each([
  ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "unsupported-payload-mode"],
  ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER ", "unsupported-payload-mode"],
  ["STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "unsupported-payload-mode"],
  ["STREAMING-", "unsupported-payload-mode"],
  ["", "malformed-payload-hash"],
  ["unsigned-payload", "malformed-payload-hash"],
  ["UNSIGNED-PAYLOAD ", "malformed-payload-hash"],
  [emptyPayloadHash.toUpperCase(), "malformed-payload-hash"],
  [emptyPayloadHash.slice(1), "malformed-payload-hash"],
  [`${emptyPayloadHash}0`, "malformed-payload-hash"],
  [`${emptyPayloadHash}\n`, "malformed-payload-hash"],
  [`${emptyPayloadHash},${emptyPayloadHash}`, "malformed-payload-hash"],
])("%j is refused: %s", (value, code) => {
  expect(() => parsePayloadHash(value)).toThrow(expect.objectContaining({ name: "SigV4Error", code }));
});
