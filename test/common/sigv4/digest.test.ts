import { createHash, createHmac, createSecretKey, randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { hmacSha256Hex, sha256Hex } from "../../../common/sigv4/digest.ts";

const latin1 = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes).toString("latin1"));

test("sha256Hex is node's SHA-256 of the bytes", () => {
  fc.assert(
    fc.property(latin1(4000), (text) => {
      expect(sha256Hex(text)).toBe(createHash("sha256").update(text, "latin1").digest("hex"));
    }),
  );
});

test("hmacSha256Hex is node's HMAC, with keys in turn", () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => createSecretKey(bytes));
  fc.assert(
    fc.property(key, key, latin1(2000), (one, other, text) => {
      for (const secret of [one, other, one]) {
        expect(hmacSha256Hex(secret, text)).toBe(createHmac("sha256", secret).update(text, "latin1").digest("hex"));
      }
    }),
  );
});

test.each([0, 63, 64, 959, 960, 961, 65_535, 65_536, 65_537, 200_000])(
  "text of %i characters, at and beyond the reused buffers",
  (length) => {
    const secret = createSecretKey(randomBytes(32));
    const text = "\u00ff".repeat(length);
    expect(sha256Hex(text)).toBe(createHash("sha256").update(text, "latin1").digest("hex"));
    expect(hmacSha256Hex(secret, text)).toBe(createHmac("sha256", secret).update(text, "latin1").digest("hex"));
  },
);

test("a key over one block is refused, not cut", () => {
  expect(() => hmacSha256Hex(createSecretKey(randomBytes(65)), "text")).toThrow(RangeError);
});
