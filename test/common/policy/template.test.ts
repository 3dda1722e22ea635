import { describe, expect, it } from "vitest";
import { parseTemplate } from "../../../common/policy/template.ts";

const text = (value: string) => ({ kind: "text", text: value });
const run = { kind: "run" };
const one = { kind: "one" };
const variable = (key: string, fallback?: string) => ({ kind: "variable", key, fallback });

describe("templates", () => {
  it.each([
    ["", []],
    ["plain", [text("plain")]],
    ["a*b?c", [text("a"), run, text("b"), one, text("c")]],
    ["**?*", [run, one, run]],
    ["${aws:username}", [variable("aws:username")]],
    ["a/${aws:PrincipalTag/Cost Center}/b", [text("a/"), variable("aws:principaltag/cost center"), text("/b")]],
    ["${aws:x, 'a}b*'}", [variable("aws:x", "a}b*")]],
    ["${aws:x,''}", [variable("aws:x", "")]],
    ["${*}a${?}${$}", [text("*a?$")]],
    ["$", [text("$")]],
    ["$${*}", [text("$*")]],
    ["a$b{c}", [text("a$b{c}")]],
  ])("%j", (template, expected) => {
    expect(parseTemplate(template, { wildcards: true, variables: true })).toEqual(expected);
  });

  it.each([
    "${aws:x ,'y'}",
    "${",
    "${}",
    "${**}",
    "${aws:x",
    "${username}",
    "${aws:}",
    "${aws:x, y}",
    "${aws:x, 'y}",
    "${aws:x, 'y' z}",
    "${aws:x${aws:y}}",
  ])("%j is refused", (template) => {
    expect(() => parseTemplate(template, { wildcards: true, variables: true })).toThrow(
      expect.objectContaining({ code: "invalid-variable" }),
    );
  });

  it("has only what its place allows", () => {
    expect(parseTemplate("a*${aws:x}", { wildcards: false, variables: true })).toEqual([text("a*"), variable("aws:x")]);
    expect(parseTemplate("a*${aws:x}", { wildcards: true, variables: false })).toEqual([text("a"), run, text("${aws:x}")]);
    expect(parseTemplate("${", { wildcards: false, variables: false })).toEqual([text("${")]);
  });
});
