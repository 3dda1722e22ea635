import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PolicyError } from "../../../common/policy/error.ts";
import { sourceFromJson } from "../../../common/policy/json.ts";
import { maxDocumentBytes, type SourceNode } from "../../../common/policy/source.ts";

/** The plain value, objects as lists of entries so that `__proto__` is seen. */
function plain(node: SourceNode): unknown {
  if (node.kind === "mapping") return { entries: node.entries.map(({ key, value }) => [key, plain(value)]) };
  if (node.kind === "sequence") return node.items.map(plain);
  return node.kind === "string" ? node.text : (JSON.parse(node.text) as unknown);
}

function entriesOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(entriesOf);
  if (typeof value === "object" && value !== null) return { entries: Object.entries(value).map(([key, inner]) => [key, entriesOf(inner)]) };
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
    [`${"[".repeat(11)}${"]".repeat(11)}`, "too-deep", 1, 11],
    ["[".repeat(60_000), "too-deep", 1, 11],
    ['{"a":'.repeat(10_000), "too-deep", 1, 51],
  ])("%j is %s at line %i, column %i", (text, code, line, column) => {
    expect(errorOf(text)).toMatchObject({ code, line, column });
  });

  it("refuses what is over the limit in bytes, whatever it is in characters", () => {
    expect(errorOf(`"${"x".repeat(maxDocumentBytes)}"`).code).toBe("too-large");
    expect(errorOf(`"${"€".repeat(maxDocumentBytes / 3)}"`).code).toBe("too-large");
    expect(sourceFromJson(`"${"x".repeat(maxDocumentBytes - 2)}"`).root.kind).toBe("string");
  });

  it("reads what JSON.parse reads, and nothing that it refuses", () => {
    const text = fc.oneof(
      fc.json({ maxDepth: 5 }),
      fc.string({ unit: fc.constantFrom(...'{}[]:,"\\ \n\tu00e9-+.1eE0truefalsn'.split("")), maxLength: 12 }),
    );
    fc.assert(
      fc.property(text, (text) => {
        let expected: { value: unknown } | undefined;
        try {
          expected = { value: JSON.parse(text) as unknown };
        } catch {
          expected = undefined;
        }
        if (expected === undefined) {
          expect(errorOf(text)).toBeInstanceOf(PolicyError);
          return;
        }
        try {
          expect(plain(sourceFromJson(text).root)).toEqual(entriesOf(expected.value));
        } catch (error) {
          // Accepted by JSON.parse, refused here: for these reasons only.
          if (!(error instanceof PolicyError)) throw error;
          expect(error.code === "duplicate-key" || error.problem.includes("surrogate")).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
