import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { contextFromEntries } from "../../../common/policy/request-context.ts";
import { createResourceIndex, insertPattern, visitMatches } from "../../../common/policy/resource-index.ts";
import { compileResourcePattern, matchesResource } from "../../../common/policy/resource-pattern.ts";
import { contextValues, request, resourcePattern } from "./arbitraries.ts";

const context = contextFromEntries([
  ["aws:PrincipalTag/team", "red"],
  ["aws:PrincipalTag/colon", "a:b"],
  ["aws:PrincipalTag/empty", ""],
]);
const matches = (pattern: string, resource: string, variables = true): boolean =>
  matchesResource(compileResourcePattern(pattern, { variables }), resource, context);

describe("resource patterns", () => {
  it.each([
    ["*", "arn:mesh:orders:a.example:shop:item/1", true],
    ["arn:mesh:orders:a.example:shop:item/1", "arn:mesh:orders:a.example:shop:item/1", true],
    ["arn:mesh:orders:a.example:shop:item/1", "arn:mesh:orders:a.example:shop:item/12", false],
    ["arn:mesh:orders:a.example:shop:item/1", "arn:mesh:orders:a.example:shop:Item/1", false],
    ["arn:mesh:orders:a.example:shop:*", "arn:mesh:orders:a.example:shop:item/1:x", true],
    ["arn:mesh:orders:a.example:shop:/items/*/x", "arn:mesh:orders:a.example:shop:/items/a/b/x", true],
    ["arn:mesh:*:*:*:*", "arn:mesh:orders:a.example:shop:x", true],
    // A star before the last part stays within its part.
    ["arn:mesh:*:shop:x:y", "arn:mesh:orders:a.example:shop:x:y", false],
    ["arn:mesh:orders:a.example:*:x:y", "arn:mesh:orders:a.example:shop:x:y", true],
    ["arn:mesh:orders:a.example:s*:y", "arn:mesh:orders:a.example:shop:x:y", false],
    ["arn:mesh:orders:a.example:sho?:x", "arn:mesh:orders:a.example:shop:x", true],
    ["arn:mesh:orders:a.example:?hop:x", "arn:mesh:orders:a.example::hop:x", false],
    ["arn:mesh:orders:a.example:shop:${aws:PrincipalTag/team}/*", "arn:mesh:orders:a.example:shop:red/1", true],
    ["arn:mesh:orders:a.example:shop:${aws:PrincipalTag/team}/*", "arn:mesh:orders:a.example:shop:blue/1", false],
    ["arn:mesh:orders:a.example:shop:${aws:PrincipalTag/none}*", "arn:mesh:orders:a.example:shop:x", false],
    ["arn:mesh:orders:a.example:shop:x${aws:PrincipalTag/empty}", "arn:mesh:orders:a.example:shop:x", true],
    ["arn:mesh:orders:a.example:shop:${aws:PrincipalTag/colon}", "arn:mesh:orders:a.example:shop:a:b", true],
    ["arn:mesh:orders:a.example:${aws:PrincipalTag/team}:x", "arn:mesh:orders:a.example:red:x", true],
    // A value cannot bring parts of its own along.
    ["arn:mesh:orders:a.example:${aws:PrincipalTag/colon}:x", "arn:mesh:orders:a.example:a:b:x", false],
    ["arn:mesh:orders:a.example:shop:${*}", "arn:mesh:orders:a.example:shop:x", false],
    ["arn:mesh:orders:a.example:shop:${*}", "arn:mesh:orders:a.example:shop:*", true],
    ["arn:mesh:orders:a.example:*:*", "arn:mesh:orders:a.example:shop", false],
    ["arn:mesh:orders:a.example:*:*", "", false],
  ])("%s on %s: %j", (pattern, resource, expected) => {
    expect(matches(pattern, resource)).toBe(expected);
  });

  it("takes variables for text in version 2008-10-17", () => {
    expect(matches("arn:mesh:orders:a.example:shop:${aws:x}/*", "arn:mesh:orders:a.example:shop:${aws:x}/1", false)).toBe(true);
  });

  it("is found in an index exactly when it matches, however many others there are", () => {
    fc.assert(
      fc.property(
        fc.array(resourcePattern, { maxLength: 30 }),
        fc.array(request, { maxLength: 5 }),
        contextValues,
        (texts, requests, values) => {
          const context = contextFromEntries(values);
          const patterns = texts.map((text) => compileResourcePattern(text, { variables: true }));
          const index = createResourceIndex<number>();
          for (const [position, pattern] of patterns.entries()) insertPattern(index, pattern, position);
          for (const { resource } of requests) {
            const found: number[] = [];
            visitMatches(index, resource, context, (state: number[], item) => state.push(item), found);
            const expected = [...patterns.keys()].filter((position) => {
              const pattern = patterns[position];
              return pattern !== undefined && matchesResource(pattern, resource, context);
            });
            expect(found.sort((a, b) => a - b)).toEqual(expected);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
