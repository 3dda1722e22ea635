import { describe, expect, it } from "vitest";
import { policyFromJson } from "../../../common/policy/document.ts";
import { PolicyError } from "../../../common/policy/error.ts";
import { policyFromYaml, sourceFromYaml } from "../../../common/policy/yaml.ts";

function errorOf(text: string): PolicyError {
  try {
    sourceFromYaml(text);
  } catch (error) {
    if (error instanceof PolicyError) return error;
  }
  throw new Error(`${text} was accepted`);
}

describe("policies in YAML", () => {
  it("are the same documents", () => {
    const yaml = `
# Comments are free.
Version: 2012-10-17
Statement:
  - Sid: Read
    Effect: Allow
    Action: [orders:GetItem, "orders:List*"]
    Resource: >-
      arn:mesh:orders:prod.example:shop:item/*
    Condition:
      Bool: { aws:SecureTransport: true }
      StringEquals:
        aws:PrincipalTag/level: [1.50, no]
`;
    const json = JSON.stringify({
      Version: "2012-10-17",
      Statement: {
        Sid: "Read",
        Effect: "Allow",
        Action: ["orders:GetItem", "orders:List*"],
        Resource: "arn:mesh:orders:prod.example:shop:item/*",
        Condition: { Bool: { "aws:SecureTransport": "true" }, StringEquals: { "aws:PrincipalTag/level": ["1.50", "no"] } },
      },
    });
    expect(policyFromYaml(yaml, "identity")).toEqual(policyFromJson(json, "identity"));
  });

  it("may be JSON", () => {
    const text = '{"Version": "2012-10-17", "Statement": []}';
    expect(policyFromYaml(text, "identity")).toEqual(policyFromJson(text, "identity"));
  });

  it.each([
    ["a: 1\nb: 2\na: 3", "duplicate-key", 3, 1],
    ["a:\n  b: 1\n  'b': 2", "duplicate-key", 3, 3],
    ["a: &anchor 1", "syntax", 1, 4],
    ["a: *anchor", "syntax", 1, 4],
    ["&anchor a: 1", "syntax", 1, 1],
    ["a: !!str 1", "syntax", 1, 4],
    ["a: !custom 1", "syntax", 1, 4],
    ["- !!binary aGk=", "syntax", 1, 3],
    ["!!omap\n- a: 1", "syntax", 1, 1],
    ["--- &anchor {}", "syntax", 1, 5],
    ["%YAML 1.1\n---\na: yes", "syntax", 1, 1],
    ["a: 1\n---\nb: 2", "syntax", 2, 1],
    ["a: [1, 2", "syntax", 1, 9],
    ["a: b: c", "syntax", 1, 4],
    ["\ta: 1", "syntax", 1, 1],
    ["a: 'x", "syntax", 1, 6],
    ["? [a]\n: 1", "wrong-type", 1, 3],
    ["1: a", "wrong-type", 1, 1],
    ["null: a", "wrong-type", 1, 1],
    ["a: 0x10", "wrong-type", 1, 4],
    ["a: 012", "wrong-type", 1, 4],
    ["a: .inf", "wrong-type", 1, 4],
  ])("%j is %s at line %j, column %j", (text, code, line, column) => {
    expect(errorOf(text)).toMatchObject({ code, line, column });
  });

  it.each<[string, string, string, number | undefined, number | undefined]>([
    ["brackets", "[".repeat(60_000), "too-deep", 1, 11],
    ["sequences in sequences", "- ".repeat(30_000), "too-deep", 1, 21],
    ["keys in keys", "? ".repeat(30_000), "too-deep", 1, 21],
    ["mappings in flow", "a: {".repeat(10_000), "too-deep", 1, 40],
    ["a long word", "x".repeat(65_537), "too-large", undefined, undefined],
  ])("%s without end are stopped", (_what, text, code, line, column) => {
    expect(errorOf(text)).toMatchObject({ code, line, column });
  });

  it("cannot merge or redefine what a mapping means", () => {
    expect(() => policyFromYaml("<<: {Version: 2012-10-17}\nStatement: []", "identity")).toThrow(
      expect.objectContaining({ code: "unknown-element", line: 1, column: 1 }),
    );
    expect(() => policyFromYaml("__proto__: {Version: 2012-10-17}\nStatement: []", "identity")).toThrow(
      expect.objectContaining({ code: "unknown-element" }),
    );
  });

  it("is not a policy when it is empty", () => {
    for (const text of ["", "# nothing", "---", "null"]) {
      expect(() => policyFromYaml(text, "identity")).toThrow(expect.objectContaining({ code: "wrong-type" }));
    }
  });
});
