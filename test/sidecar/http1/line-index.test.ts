import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashOfLines, indexLines, lineIndex } from "../../../sidecar/http1/line-index.ts";
import { bytes } from "./recording.ts";

const line = fc.stringMatching(/^[\t -~\x7f-\xff]{1,40}$/);

/** Indexes `text` where it starts at `offset` in its memory and other bytes follow. */
function index(text: string, offset: number, behind = "") {
  const buffer = bytes(" ".repeat(offset) + text + behind);
  const end = indexLines(buffer, offset, buffer.length, 1000);
  return {
    end: end - offset,
    ends: [...lineIndex.ends.subarray(0, lineIndex.count)],
    hashes: [...lineIndex.hashes.subarray(0, lineIndex.count)],
    whole: hashOfLines(0),
  };
}

describe("line index", () => {
  test("finds the lines, wherever they are in memory and whatever follows", () => {
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.nat(9), fc.string({ unit: "binary-ascii" }), (list, offset, behind) => {
        const text = `${list.map((each) => `${each}\r\n`).join("")}\r\n`;
        const found = index(text, offset, behind);
        let position = -2;
        expect(found.ends).toEqual(list.map((each) => (position += each.length + 2)));
        expect(found.end).toBe(text.length);
        expect(found).toEqual(index(text, 0));
      }),
    );
  });

  test("equal lines have equal hashes; others, and other orders, do not", () => {
    fc.assert(
      fc.property(line, line, (one, two) => {
        const { hashes, whole } = index(`${one}\r\n${two}\r\n${one}\r\n\r\n`, 0);
        expect(hashes[2]).toBe(hashes[0]);
        expect(hashes[0] === hashes[1]).toBe(one === two);
        expect(index(`${two}\r\n${one}\r\n${one}\r\n\r\n`, 0).whole === whole).toBe(one === two);
      }),
    );
  });

  test("nothing is found before the empty line is whole", () => {
    const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (let length = 0; length < text.length; length++) {
      expect(indexLines(bytes(text.slice(0, length)), 0, length, 10)).toBe(-1);
    }
  });

  test("every control byte but HTAB is refused at every place in a word", () => {
    for (let control = 0; control < 32; control++) {
      if (control === 9 || control === 13) continue;
      for (let at = 0; at < 12; at++) {
        const text = `${"a".repeat(at)}${String.fromCharCode(control)}${"\xff".repeat(12 - at)}\r\n\r\n`;
        expect(() => index(text, 0)).toThrow(control === 10 ? "LF without CR" : "control byte");
      }
    }
  });
});
