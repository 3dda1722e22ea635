import { array, assert, bigInt, constantFrom, date, integer, property, uint8Array } from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encode,
  encodeBoolean,
  encodeNamedBits,
  encodeOid,
  encodeSequence,
  encodeTime,
  encodeUnsigned,
} from "../../../common/x509/der-write.ts";
import type { DerErrorCode } from "../../../common/x509/der.ts";
import {
  booleanOf,
  childrenOf,
  DerError,
  encodedOf,
  integerOf,
  namedBitsOf,
  octetsOfBitString,
  oidOf,
  readAll,
  readDer,
  smallIntegerOf,
  Tag,
  timeOf,
} from "../../../common/x509/der.ts";
import { hex } from "./certificate-maker.ts";

const failsWith = (code: DerErrorCode) => expect.objectContaining({ name: "DerError", code });

describe("lengths and tags", () => {
  test.each<[string, string, DerErrorCode]>([
    ["nothing", "", "truncated"],
    ["a tag alone", "30", "truncated"],
    ["content cut off", "0402ff", "truncated"],
    ["a length cut off", "0482ff", "truncated"],
    ["a length far beyond the input", "0483ffffff00", "truncated"],
    ["an indefinite length", "3080 0000", "length-encoding"],
    ["a long form for a short length", "048101ff", "length-encoding"],
    ["a leading zero in a length", "04820001ff", "length-encoding"],
    ["a length of four octets", "048400000001ff", "length-encoding"],
    ["the reserved length 0xff", "04ff00", "length-encoding"],
    ["a high tag number", "1f8100", "tag-encoding"],
    ["bytes after the value", "0500 00", "trailing-bytes"],
  ])("%s is refused", (_, der, code) => {
    expect(() => readDer(hex(der))).toThrow(failsWith(code));
  });

  test("whatever is written is read back, whole and in order", () => {
    assert(
      property(array(uint8Array({ maxLength: 20_000, size: "max" }), { maxLength: 3 }), (parts) => {
        const sequence = encodeSequence(...parts.map((part) => encode(Tag.OCTET_STRING, part)));
        const children = childrenOf(readDer(sequence));
        expect(children.map(({ content }) => content)).toEqual(parts.map((part) => Buffer.from(part)));
        expect(Buffer.concat(children.map(encodedOf))).toEqual(readDer(sequence).content);
      }),
      { numRuns: 30 },
    );
  });

  test("any octets are read or refused, never worse, and what is read is within them", () => {
    assert(
      property(uint8Array({ maxLength: 64 }), (octets) => {
        const read = (): number => {
          try {
            return Buffer.concat(readAll(Buffer.from(octets)).map(encodedOf)).length;
          } catch (error) {
            return error instanceof DerError ? octets.length : -1;
          }
        };
        expect(read()).toBe(octets.length);
      }),
    );
  });

  test("another tag than expected is refused", () => {
    expect(() => childrenOf(readDer(hex("3100")))).toThrow(failsWith("unexpected-tag"));
    expect(() => childrenOf(undefined)).toThrow(failsWith("truncated"));
  });
});

describe("integers", () => {
  test("are written in their shortest form and read back", () => {
    assert(
      property(bigInt({ min: 0n, max: 2n ** 160n }), (value) => {
        const digits = value.toString(16);
        const magnitude = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
        const content = integerOf(readDer(encodeUnsigned(Buffer.concat([Buffer.alloc(2), magnitude]))));
        expect(BigInt(`0x${content.toString("hex")}`)).toBe(value);
        expect(content[0]! < 0x80).toBe(true);
      }),
    );
  });

  test.each(["0200", "02020001", "0202ff80"])("%s is refused", (der) => {
    expect(() => integerOf(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
  });

  test("small ones are numbers; negative and large ones are refused", () => {
    expect(smallIntegerOf(readDer(hex("020100")))).toBe(0);
    expect(smallIntegerOf(readDer(hex("02047fffffff")))).toBe(2 ** 31 - 1);
    for (const der of ["0201ff", "02050080000000"]) expect(() => smallIntegerOf(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
  });
});

describe("booleans", () => {
  test("are 0x00 and 0xFF alone", () => {
    expect([true, false].map((value) => booleanOf(readDer(encodeBoolean(value))))).toEqual([true, false]);
    for (const der of ["010101", "0100", "0102ffff"]) expect(() => booleanOf(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
  });
});

describe("object identifiers", () => {
  test("are written and read back", () => {
    const root = constantFrom("0.0", "1.39", "1.2", "2.5", "2.999", "2.39", "2.40");
    assert(
      property(root, array(integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 8 }), (root, arcs) => {
        const dotted = [root, ...arcs].join(".");
        expect(oidOf(readDer(encodeOid(dotted)))).toBe(dotted);
      }),
    );
  });

  test("known ones are as published", () => {
    expect(encodeOid("1.2.840.113549.1.1.11")).toEqual(hex("06092a864886f70d01010b"));
    expect(oidOf(readDer(hex("0603551d11")))).toBe("2.5.29.17");
  });

  test.each(["0600", "060180", "06028001", "06025580", "0604558080 01", "06072b9fffffffff7f", "06092bffffffffffffff7f"])(
    "%s is refused",
    (der) => {
      expect(() => oidOf(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
    },
  );
});

describe("bit strings", () => {
  test("of octets have no bits left over", () => {
    expect(octetsOfBitString(readDer(hex("0303001234")))).toEqual(hex("1234"));
    for (const der of ["0300", "03020110", "030209ff"])
      expect(() => octetsOfBitString(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
  });

  test("of named bits are read as written", () => {
    for (let bits = 0; bits < 256; bits++) expect(namedBitsOf(readDer(encodeNamedBits(bits)))).toBe(bits);
    // decipherOnly, bit 8.
    expect(namedBitsOf(readDer(hex("0303070080")))).toBe(256);
  });

  test.each([
    ["no octets", "0300"],
    ["unused bits without octets", "030101"],
    ["nine unused bits", "03020980"],
    ["an unused bit that is set", "03020781"],
    ["a trailing zero bit", "03020080"],
    ["a trailing zero octet", "0303008000"],
    ["more bits than any key usage has", "030400808080"],
  ])("%s: refused", (_, der) => {
    expect(() => namedBitsOf(readDer(hex(der)))).toThrow(failsWith("value-encoding"));
  });
});

describe("times", () => {
  const utc = (text: string) => readDer(encode(Tag.UTC_TIME, Buffer.from(text)));
  const generalized = (text: string) => readDer(encode(Tag.GENERALIZED_TIME, Buffer.from(text)));

  test("are written and read back, from 1950 to 9999", () => {
    assert(
      property(date({ min: new Date("1950-01-01"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true }), (date) => {
        const seconds = Math.floor(date.getTime() / 1000);
        expect(timeOf(readDer(encodeTime(seconds)))).toBe(seconds);
      }),
    );
  });

  test("turn from UTCTime to GeneralizedTime with 2050", () => {
    expect(encodeTime(Date.UTC(2050, 0, 1) / 1000 - 1)).toEqual(encode(Tag.UTC_TIME, Buffer.from("491231235959Z")));
    expect(encodeTime(Date.UTC(2050, 0, 1) / 1000)).toEqual(encode(Tag.GENERALIZED_TIME, Buffer.from("20500101000000Z")));
    expect(timeOf(utc("500101000000Z"))).toBe(Date.UTC(1950, 0, 1) / 1000);
    expect(timeOf(utc("240229120000Z"))).toBe(Date.UTC(2024, 1, 29, 12) / 1000);
  });

  test.each([
    "2401010000Z",
    "240101000000",
    "240101000000+0000",
    "240101000000.5Z",
    "24010100000 Z",
    "241301000000Z",
    "240001000000Z",
    "240100000000Z",
    "230229000000Z",
    "240431000000Z",
    "240101240000Z",
    "240101006000Z",
    "240101000060Z",
    "2401010000-1Z",
    "",
  ])("UTCTime %j is refused", (text) => {
    expect(() => timeOf(utc(text))).toThrow(failsWith("value-encoding"));
  });

  test.each(["20490101000000Z", "205001010000Z", "20500101000000.0Z", "21000229000000Z", "20500101000000"])(
    "GeneralizedTime %j is refused",
    (text) => {
      expect(() => timeOf(generalized(text))).toThrow(failsWith("value-encoding"));
    },
  );

  test("nothing else is a time", () => {
    expect(() => timeOf(readDer(hex("0500")))).toThrow(failsWith("unexpected-tag"));
  });
});
