import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PolicyError } from "../../../common/policy/error.ts";
import { sourceFromJson } from "../../../common/policy/json.ts";
import { maxDocumentBytes, type SourceNode } from "../../../common/policy/source.ts";

/** The plain value, objects as lists of entries so that `__proto__` is seen. */
function plain(node: SourceNode): unknown {
  if (node.kind === "mapping") return { entries: sorted(node.entries.map(({ key, value }) => [key, plain(value)])) };
  if (node.kind === "sequence") return node.items.map(plain);
  return node.kind === "string" ? node.text : (JSON.parse(node.text) as unknown);
}

/** JSON.parse puts keys that are numbers first. */
function sorted(entries: [string, unknown][]): [string, unknown][] {
  return entries.sort(([a], [b]) => (a < b ? -1 : 1));
}

function entriesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(entriesOf);
  if (typeof value === "object" && value !== null) {
    return { entries: sorted(Object.entries(value).map(([key, inner]) => [key, entriesOf(inner)])) };
  }
  return value;
}

function errorOf(text: string): PolicyError {
  try {
    sourceFromJson(text);
  } catch (error) {
    if (error instanceof PolicyError) return error;
  }
  throw new Error(`${text} was accepted`);
}

/** The value, or the code of the error. */
function outcomeOf(text: string): unknown {
  try {
    return plain(sourceFromJson(text).root);
  } catch (error) {
    return error instanceof PolicyError ? error.code : error;
  }
}

/** What may come of a text: where JSON.parse has a value this has the same, unless a key is repeated, and nothing where it has none. */
function outcomesFor(text: string): readonly unknown[] {
  try {
    return [entriesOf(JSON.parse(text)), "duplicate-key"];
  } catch {
    return ["syntax", "duplicate-key"];
  }
}

describe("strict JSON", () => {
  it.each([
    ['{"a": 1,\n  "a": 2}', "duplicate-key", 2, 3],
    ['{"a": {"b": 1, "\\u0062": 2}}', "duplicate-key", 1, 16],
    ['{"__proto__": 1, "__proto__": 2}', "duplicate-key", 1, 18],
    ["", "syntax", 1, 1],
    ["  ", "syntax", 1, 3],
    ["{", "syntax", 1, 2],
    ['{"a"}', "syntax", 1, 5],
    ['{"a": }', "syntax", 1, 7],
    ['{"a": 1,}', "syntax", 1, 9],
    ["[1,]", "syntax", 1, 4],
    ["[1 2]", "syntax", 1, 4],
    ["{'a': 1}", "syntax", 1, 2],
    ["{a: 1}", "syntax", 1, 2],
    ["// x\n{}", "syntax", 1, 1],
    ["{} {}", "syntax", 1, 4],
    ["{}\n\n  x", "syntax", 3, 3],
    ['"open', "syntax", 1, 1],
    ['"a\nb"', "syntax", 1, 3],
    ['"\\x41"', "syntax", 1, 2],
    ['"\\u00g0"', "syntax", 1, 2],
    ['"\\ud800"', "syntax", 1, 1],
    ["01", "syntax", 1, 2],
    ["+1", "syntax", 1, 1],
    [".5", "syntax", 1, 1],
    ["NaN", "syntax", 1, 1],
    ["True", "syntax", 1, 1],
    ["\u{feff}{}", "syntax", 1, 1],
    ["\u00a0{}", "syntax", 1, 1],
  ])("%j is %s at line %i, column %i", (text, code, line, column) => {
    expect(errorOf(text)).toMatchObject({ code, line, column });
  });

  it.each<[string, string, string, number | undefined, number | undefined]>([
    ["eleven lists", `${"[".repeat(11)}${"]".repeat(11)}`, "too-deep", 1, 11],
    ["brackets", "[".repeat(60_000), "too-deep", 1, 11],
    ["objects", '{"a":'.repeat(10_000), "too-deep", 1, 51],
  ])("%s without end are stopped", (_what, text, code, line, column) => {
    expect(errorOf(text)).toMatchObject({ code, line, column });
  });

  it("refuses what is over the limit in bytes, whatever it is in characters", () => {
    expect(errorOf(`"${"x".repeat(maxDocumentBytes)}"`).code).toBe("too-large");
    expect(errorOf(`"${"€".repeat(maxDocumentBytes / 3)}"`).code).toBe("too-large");
    expect(sourceFromJson(`"${"x".repeat(maxDocumentBytes - 2)}"`).root.kind).toBe("string");
  });

  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        expect(outcomeOf(text)).toEqual(entriesOf(JSON.parse(text)));
      }),
      { numRuns: 1000 },
    );
  });

  it("reads nothing that JSON.parse refuses", () => {
    const pieces = [
      "{",
      "}",
      "[",
      "]",
      ":",
      ",",
      '"',
      '"a"',
      "\\",
      " ",
      "\n",
      "\t",
      "\\u00e9",
      "-",
      "+",
      ".",
      "1",
      "e",
      "E",
      "0",
      "true",
      "null",
      "fals",
    ];
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...pieces), maxLength: 12 }), (text) => {
        expect(outcomesFor(text)).toContainEqual(outcomeOf(text));
      }),
      { numRuns: 5000 },
    );
  });
});
