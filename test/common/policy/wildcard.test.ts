import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseTemplate, type PatternToken } from "../../../common/policy/template.ts";
import { compileWildcard } from "../../../common/policy/wildcard.ts";
import { regexOf } from "./reference.ts";

const matches = (pattern: string, text: string): boolean =>
  compileWildcard(parseTemplate(pattern, { wildcards: true, variables: false }) as readonly PatternToken[])(text, 0);

describe("wildcards", () => {
  it.each([
    ["", "", true],
    ["", "a", false],
    ["*", "", true],
    ["*", "any/thing:at all\n", true],
    ["**", "a", true],
    ["?", "", false],
    ["?", "a", true],
    ["?", "ab", false],
    ["*?", "", false],
    ["*?", "a", true],
    ["a*", "ba", false],
    ["*a", "ab", false],
    ["a*a", "a", false],
    ["a*a", "aa", true],
    ["*b*", "abc", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-c-b", false],
    ["*?b?*", "xbx", true],
    ["*?b?*", "bx", false],
    ["A", "a", false],
    ["a.c", "abc", false],
    ["[a]", "a", false],
  ])("%j on %j: %j", (pattern, text, expected) => {
    expect(matches(pattern, text)).toBe(expected);
  });

  it("agrees with a regular expression", () => {
    const characters = fc.constantFrom("a", "b", "*", "?");
    fc.assert(
      fc.property(
        fc.string({ unit: characters, maxLength: 8 }),
        fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 }),
        (pattern, text) => {
          expect(matches(pattern, text)).toBe(regexOf(pattern, { variables: false, values: new Map() })?.test(text));
        },
      ),
      { numRuns: 5000 },
    );
  });

  it("begins where it is told to", () => {
    const matcher = compileWildcard(parseTemplate("b*d", { wildcards: true, variables: false }) as readonly PatternToken[]);
    expect([matcher("abcd", 0), matcher("abcd", 1), matcher("abd", 2)]).toEqual([false, true, false]);
  });

  it("takes no detours over a pattern made to take them", () => {
    // A backtracking matcher needs 2^n or n^k steps here and would not come back.
    const text = "a".repeat(20_000);
    expect(matches(`${"a*".repeat(1000)}b`, text)).toBe(false);
    expect(matches(`${"*?a".repeat(600)}*b`, text)).toBe(false);
    expect(matches(`*${"a?".repeat(30)}b*c`, text)).toBe(false);
  });
});
