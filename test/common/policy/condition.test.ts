import { describe, expect, it } from "vitest";
import { compileCondition } from "../../../common/policy/condition.ts";
import { contextFromEntries } from "../../../common/policy/request-context.ts";

type Present = string | readonly string[] | undefined;

/** Whether `operator` over `key` and `values` holds where the request has `present` for the key. */
function holds(operator: string, values: readonly string[], present: Present, whenUnreadable = false): boolean {
  const context = contextFromEntries([
    ...(present === undefined ? [] : [["test:Key", present] as const]),
    ["aws:PrincipalTag/team", "red"],
    ["aws:PrincipalTag/star", "r*"],
    ["aws:TagKeys", ["a", "b"]],
    ["aws:Single", ["one"]],
  ]);
  return compileCondition({ operator, key: "test:KEY", values }, { variables: true, whenUnreadable }).holds(context);
}

describe("condition operators", () => {
  it.each<[string, readonly string[], Present, boolean]>([
    ["StringEquals", ["red"], "red", true],
    ["StringEquals", ["red"], "Red", false],
    ["StringEquals", ["red", "blue"], "blue", true],
    ["StringEquals", ["r*"], "red", false],
    ["StringEquals", ["r*"], "r*", true],
    ["StringEquals", [""], "", true],
    ["StringEquals", ["red"], undefined, false],
    ["StringNotEquals", ["red", "blue"], "blue", false],
    ["StringNotEquals", ["red", "blue"], "green", true],
    ["StringNotEquals", ["red"], undefined, true],
    ["StringEqualsIgnoreCase", ["ReD"], "rEd", true],
    ["StringEqualsIgnoreCase", ["red", "blue"], "BLUE", true],
    ["StringEqualsIgnoreCase", ["red"], "reds", false],
    ["StringNotEqualsIgnoreCase", ["ReD"], "rEd", false],
    ["StringNotEqualsIgnoreCase", ["red"], undefined, true],
    ["StringLike", ["r*"], "red", true],
    ["StringLike", ["R*"], "red", false],
    ["StringLike", ["x", "?ed"], "red", true],
    ["StringLike", ["*"], "", true],
    ["StringLike", ["*"], undefined, false],
    ["StringNotLike", ["b*", "r*"], "red", false],
    ["StringNotLike", ["b*"], "red", true],
    ["StringNotLike", ["*"], undefined, true],
    ["Bool", ["true"], "true", true],
    ["Bool", ["TRUE"], "True", true],
    ["Bool", ["false"], "true", false],
    ["Bool", ["true", "false"], "false", true],
    ["Bool", ["false"], undefined, false],
    ["IpAddress", ["10.0.0.0/8"], "10.1.2.3", true],
    ["IpAddress", ["10.0.0.0/8"], "11.1.2.3", false],
    ["IpAddress", ["10.0.0.0/8"], undefined, false],
    ["NotIpAddress", ["10.0.0.0/8", "11.0.0.0/8"], "11.1.2.3", false],
    ["NotIpAddress", ["10.0.0.0/8"], "11.1.2.3", true],
    ["NotIpAddress", ["10.0.0.0/8"], undefined, true],
    ["Null", ["true"], undefined, true],
    ["Null", ["true"], [], true],
    ["Null", ["true"], "", false],
    ["Null", ["false"], "x", true],
    ["Null", ["false"], undefined, false],
    ["Null", ["true", "false"], undefined, true],
  ])("%s %j on %j: %j", (operator, values, present, expected) => {
    expect(holds(operator, values, present)).toBe(expected);
  });

  it.each<[string, readonly string[], Present, boolean]>([
    ["StringEqualsIfExists", ["red"], undefined, true],
    ["StringEqualsIfExists", ["red"], [], true],
    ["StringEqualsIfExists", ["red"], "blue", false],
    ["StringNotEqualsIfExists", ["red"], undefined, true],
    ["StringNotEqualsIfExists", ["red"], "red", false],
    ["BoolIfExists", ["true"], undefined, true],
    ["IpAddressIfExists", ["10.0.0.0/8"], "11.1.2.3", false],
    ["ForAnyValue:StringEqualsIfExists", ["red"], undefined, true],
    ["ForAnyValue:StringEqualsIfExists", ["red"], ["blue"], false],
  ])("%s %j on %j: %j", (operator, values, present, expected) => {
    expect(holds(operator, values, present)).toBe(expected);
  });

  it.each<[string, readonly string[], Present, boolean]>([
    ["ForAnyValue:StringEquals", ["a", "b"], ["x", "b"], true],
    ["ForAnyValue:StringEquals", ["a", "b"], ["x", "y"], false],
    ["ForAnyValue:StringEquals", ["a"], [], false],
    ["ForAnyValue:StringEquals", ["a"], undefined, false],
    ["ForAnyValue:StringEquals", ["a"], "a", true],
    ["ForAllValues:StringEquals", ["a", "b"], ["b", "a"], true],
    ["ForAllValues:StringEquals", ["a", "b"], ["a", "x"], false],
    ["ForAllValues:StringEquals", ["a"], [], true],
    ["ForAllValues:StringEquals", ["a"], undefined, true],
    ["ForAnyValue:StringNotEquals", ["a"], ["a", "x"], true],
    ["ForAnyValue:StringNotEquals", ["a"], ["a"], false],
    ["ForAnyValue:StringNotEquals", ["a"], undefined, false],
    ["ForAllValues:StringNotEquals", ["a"], ["x", "a"], false],
    ["ForAllValues:StringNotLike", ["a*"], ["x", "y"], true],
    ["ForAllValues:StringNotEquals", ["a"], undefined, true],
    // Without a set prefix, one value of several is enough, and for a negation none may match.
    ["StringEquals", ["a"], ["x", "a"], true],
    ["StringNotEquals", ["a"], ["x", "a"], false],
    ["StringNotEquals", ["a"], ["x", "y"], true],
  ])("%s %j on %j: %j", (operator, values, present, expected) => {
    expect(holds(operator, values, present)).toBe(expected);
  });

  it.each<[string, readonly string[], Present, boolean]>([
    ["StringEquals", ["${aws:PrincipalTag/team}"], "red", true],
    ["StringEquals", ["${AWS:principaltag/TEAM}"], "red", true],
    ["StringEquals", ["x-${aws:PrincipalTag/team}-y", "z"], "x-red-y", true],
    ["StringEquals", ["x-${aws:PrincipalTag/team}-y", "z"], "z", true],
    ["StringEquals", ["${aws:PrincipalTag/none}"], "", false],
    ["StringEquals", ["${aws:PrincipalTag/none, 'guest'}"], "guest", true],
    ["StringEquals", ["${aws:PrincipalTag/team, 'guest'}"], "guest", false],
    ["StringEquals", ["${aws:TagKeys}"], "a", false],
    ["StringEquals", ["${aws:Single}"], "one", true],
    ["StringEquals", ["${*}${?}${$}"], "*?$", true],
    ["StringEqualsIgnoreCase", ["${aws:PrincipalTag/team}"], "RED", true],
    ["StringNotEquals", ["${aws:PrincipalTag/team}"], "red", false],
    // AWS: a variable without value is null, and nothing equals null.
    ["StringNotEquals", ["${aws:PrincipalTag/none}"], "red", true],
    ["StringLike", ["*${aws:PrincipalTag/team}*"], "a red hat", true],
    ["StringLike", ["${aws:PrincipalTag/team}?"], "red!", true],
    ["StringLike", ["?${aws:PrincipalTag/team}"], "red", false],
    ["StringLike", ["${aws:PrincipalTag/team}?*"], "red", false],
    ["StringLike", ["${aws:PrincipalTag/team}?*"], "reds", true],
    ["StringLike", ["${aws:PrincipalTag/none}*"], "red", false],
    ["StringLike", ["*${aws:PrincipalTag/none}"], "red", false],
    ["StringLike", ["r${*}"], "red", false],
    ["StringLike", ["r${*}"], "r*", true],
    // A value is text, whatever characters it has.
    ["StringLike", ["${aws:PrincipalTag/star}"], "red", false],
    ["StringLike", ["${aws:PrincipalTag/star}"], "r*", true],
    ["StringLike", ["*${aws:PrincipalTag/star}"], "xred", false],
    ["StringNotLike", ["${aws:PrincipalTag/none}"], "red", true],
  ])("%s %j on %j, with variables: %j", (operator, values, present, expected) => {
    expect(holds(operator, values, present)).toBe(expected);
  });

  it("leaves variables alone in version 2008-10-17", () => {
    const condition = compileCondition(
      { operator: "StringEquals", key: "test:Key", values: ["${aws:PrincipalTag/team}"] },
      { variables: false, whenUnreadable: false },
    );
    expect(condition.holds(contextFromEntries([["test:Key", "${aws:PrincipalTag/team}"]]))).toBe(true);
  });

  it.each<[string, readonly string[], Present]>([
    ["IpAddress", ["0.0.0.0/0", "::/0"], "not an address"],
    ["NotIpAddress", ["10.0.0.0/8"], "10.0.0.0.1"],
    ["Bool", ["true", "false"], "yes"],
    ["ForAnyValue:IpAddress", ["10.0.0.0/8"], ["garbage", "11.0.0.1"]],
  ])("%s %j on %j counts for a Deny and against an Allow", (operator, values, present) => {
    expect(holds(operator, values, present, false)).toBe(false);
    expect(holds(operator, values, present, true)).toBe(true);
  });
});
