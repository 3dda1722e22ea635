import { randomBytes } from "node:crypto";
import { assert, property, string, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import type { StoreError } from "../../../control-plane/store/error.ts";
import { createSealer } from "../../../control-plane/store/sealed.ts";

const failsWith = (code: StoreError["code"]) => expect.objectContaining({ name: "StoreError", code });
const sealer = createSealer(Buffer.alloc(32, 1));

describe("sealing", () => {
  test("gives back what was sealed under the same name and master key", () => {
    assert(
      property(string(), uint8Array({ maxLength: 2000 }), (name, plaintext) => {
        expect(createSealer(Buffer.alloc(32, 1)).unseal(name, sealer.seal(name, plaintext))).toEqual(Buffer.from(plaintext));
      }),
    );
  });

  test("never gives the same octets twice, nor the plaintext", () => {
    const secret = randomBytes(32);
    const [first, second] = [sealer.seal("a", secret), sealer.seal("a", secret)];
    expect(first.equals(second)).toBe(false);
    expect(first.includes(secret)).toBe(false);
    expect(first.includes(Buffer.alloc(32, 1))).toBe(false);
  });

  test("another name is refused", () => {
    expect(() => sealer.unseal("ca/root/2", sealer.seal("ca/root/1", Buffer.from("key")))).toThrow(failsWith("sealed-malformed"));
  });

  test("every altered octet is refused", () => {
    const sealed = sealer.seal("a", Buffer.from("secret"));
    for (let index = 0; index < sealed.length; index++) {
      const altered = Buffer.from(sealed);
      altered[index]! ^= 1;
      const isKeyId = index >= 1 && index < 9;
      expect(() => sealer.unseal("a", altered)).toThrow(failsWith(isKeyId ? "wrong-master-key" : "sealed-malformed"));
    }
  });

  test("every cut is refused", () => {
    const sealed = sealer.seal("a", Buffer.from("secret"));
    for (let length = 0; length < sealed.length; length++) {
      expect(() => sealer.unseal("a", sealed.subarray(0, length))).toThrow(failsWith("sealed-malformed"));
    }
  });

  test("another master key is told from an alteration", () => {
    const other = createSealer(Buffer.alloc(32, 2));
    expect(other.keyId).not.toBe(sealer.keyId);
    expect(() => other.unseal("a", sealer.seal("a", Buffer.from("secret")))).toThrow(failsWith("wrong-master-key"));
  });

  test.each([0, 16, 31, 33])("a master key of %i octets is refused", (length) => {
    expect(() => createSealer(Buffer.alloc(length))).toThrow(failsWith("master-key-malformed"));
  });
});
