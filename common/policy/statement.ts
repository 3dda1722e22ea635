/** Reading of one statement. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html */
import { actionPatternFromString } from "./action.ts";
import { compileCondition, operatorFromString, type Condition } from "./condition.ts";
import type { PatternElement, PolicyKind, Statement } from "./document.ts";
import { PolicyError } from "./error.ts";
import { checkPrincipalArn, checkSpiffePrincipal, type PrincipalElement } from "./principal.ts";
import { at, readEntries, readMapping, readText, readTexts, readValues } from "./read.ts";
import { canonicalKey } from "./request-context.ts";
import { parseResourcePattern } from "./resource-pattern.ts";
import { failAt, type Source, type SourceEntry, type SourceNode } from "./source.ts";
import { isConditionKey } from "./template.ts";

type Elements = ReadonlyMap<string, SourceEntry>;

const statementElements = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
const principalTypes = ["AWS", "SPIFFE", "Federated"];
const sidText = /^[A-Za-z0-9 _.-]{1,128}$/;
const federatedText = /^[!-~]{1,2048}$/;

/** Throws PolicyError. `variables` says whether the document's version has policy variables. */
export function readStatement(source: Source, node: SourceNode, path: string, kind: PolicyKind, variables: boolean): Statement {
  const elements = readMapping(source, node, path, statementElements);
  const sid = readSid(source, elements.get("Sid"), path);
  const effect = readEffect(source, elements.get("Effect"), node, path);
  const principal = readPrincipal(source, elements, node, path, kind, effect);
  const action = readPatterns(source, elements, path, "Action", actionPatternFromString);
  if (action === undefined) return failAt(source, "missing-element", "a statement has an Action or a NotAction", node.offset, path);
  const resource = readPatterns(source, elements, path, "Resource", (text) => parseResourcePattern(text, { variables }));
  if (resource === undefined && kind !== "trust") {
    return failAt(source, "missing-element", "a statement has a Resource or a NotResource", node.offset, path);
  }
  if (resource !== undefined && kind === "trust") {
    const entry = elements.get("Resource") ?? elements.get("NotResource");
    failAt(source, "unknown-element", "a trust policy speaks of its own role and has no Resource", entry?.keyOffset ?? node.offset, path);
  }
  return { sid, effect, principal, action, resource, conditions: readConditions(source, elements.get("Condition"), path, variables) };
}

function readSid(source: Source, entry: SourceEntry | undefined, path: string): string | undefined {
  if (entry === undefined) return undefined;
  const text = readText(source, entry.value, `${path}.Sid`);
  if (sidText.test(text)) return text;
  return failAt(
    source,
    "invalid-sid",
    "a Sid is 1 to 128 letters, digits, spaces, dots, dashes or underscores",
    entry.value.offset,
    `${path}.Sid`,
  );
}

function readEffect(source: Source, entry: SourceEntry | undefined, node: SourceNode, path: string): "Allow" | "Deny" {
  if (entry === undefined) return failAt(source, "missing-element", "a statement has an Effect", node.offset, path);
  const text = readText(source, entry.value, `${path}.Effect`);
  if (text === "Allow" || text === "Deny") return text;
  return failAt(source, "invalid-effect", `${JSON.stringify(text)} is neither Allow nor Deny`, entry.value.offset, `${path}.Effect`);
}

/** The element or its negation, at most one of them. */
function eitherOf(source: Source, elements: Elements, path: string, name: string): { entry: SourceEntry; negated: boolean } | undefined {
  const plain = elements.get(name);
  const negation = elements.get(`Not${name}`);
  if (plain !== undefined && negation !== undefined) {
    failAt(
      source,
      "conflicting-elements",
      `${name} and Not${name} exclude each other`,
      Math.max(plain.keyOffset, negation.keyOffset),
      path,
    );
  }
  const entry = plain ?? negation;
  return entry === undefined ? undefined : { entry, negated: plain === undefined };
}

function readPatterns(
  source: Source,
  elements: Elements,
  path: string,
  name: "Action" | "Resource",
  check: (text: string) => void,
): PatternElement | undefined {
  const found = eitherOf(source, elements, path, name);
  if (found === undefined) return undefined;
  const { entry, negated } = found;
  return { negated, patterns: readTexts(source, entry.value, `${path}.${entry.key}`, check) };
}

function readPrincipal(
  source: Source,
  elements: Elements,
  node: SourceNode,
  path: string,
  kind: PolicyKind,
  effect: "Allow" | "Deny",
): PrincipalElement | undefined {
  const found = eitherOf(source, elements, path, "Principal");
  if (found === undefined) {
    if (kind === "identity") return undefined;
    return failAt(source, "missing-element", `a statement of a ${kind} policy has a Principal`, node.offset, path);
  }
  const { entry, negated } = found;
  const elementPath = `${path}.${entry.key}`;
  if (kind === "identity") {
    failAt(
      source,
      "unexpected-principal",
      "a policy attached to a role applies to that role and names no principal",
      entry.keyOffset,
      elementPath,
    );
  }
  if (negated && kind === "trust") {
    failAt(source, "unexpected-principal", "a trust policy says who may assume the role, not who may not", entry.keyOffset, elementPath);
  }
  if (negated && effect === "Allow") {
    failAt(source, "invalid-principal", "NotPrincipal goes with Deny; an Allow would let in everybody else", entry.keyOffset, elementPath);
  }
  if (entry.value.kind === "string") {
    if (entry.value.text === "*") return { negated, anyone: true, arns: [], spiffeIds: [], federated: [] };
    failAt(
      source,
      "invalid-principal",
      `expected "*" or {"AWS": ...}, {"SPIFFE": ...} or {"Federated": ...}`,
      entry.value.offset,
      elementPath,
    );
  }
  const types = readMapping(source, entry.value, elementPath, principalTypes);
  if (types.size === 0) failAt(source, "invalid-principal", "nobody is named", entry.value.offset, elementPath);
  const read = (type: string, check: (text: string) => void): readonly string[] => {
    const typed = types.get(type);
    return typed === undefined ? [] : readTexts(source, typed.value, `${elementPath}.${type}`, check);
  };
  const named = read("AWS", (text) => text === "*" || checkPrincipalArn(text));
  return {
    negated,
    anyone: named.includes("*"),
    arns: named.filter((text) => text !== "*"),
    spiffeIds: read("SPIFFE", checkSpiffePrincipal),
    federated: read("Federated", checkFederated),
  };
}

function checkFederated(text: string): void {
  if (!federatedText.test(text))
    throw new PolicyError("invalid-principal", "an issuer is named by 1 to 2048 printable characters without spaces");
}

function readConditions(source: Source, entry: SourceEntry | undefined, path: string, variables: boolean): readonly Condition[] {
  if (entry === undefined) return [];
  const elementPath = `${path}.Condition`;
  const conditions: Condition[] = [];
  for (const block of readEntries(source, entry.value, elementPath)) {
    const blockPath = `${elementPath}.${block.key}`;
    at(source, block.keyOffset, elementPath, () => operatorFromString(block.key));
    const seen = new Set<string>();
    const keys = readEntries(source, block.value, blockPath);
    if (keys.length === 0)
      failAt(source, "invalid-condition", `${block.key} without a key restricts nothing`, block.keyOffset, elementPath);
    for (const { key, keyOffset, value } of keys) {
      if (!isConditionKey(key)) failAt(source, "invalid-condition", `${JSON.stringify(key)} is not a condition key`, keyOffset, blockPath);
      const canonical = canonicalKey(key);
      if (seen.has(canonical)) failAt(source, "duplicate-key", `${key} is given twice (keys ignore case)`, keyOffset, blockPath);
      seen.add(canonical);
      const values = readValues(source, value, `${blockPath}.${key}`);
      for (const [index, one] of values.entries()) {
        const valuePath = value.kind === "sequence" ? `${blockPath}.${key}[${index}]` : `${blockPath}.${key}`;
        at(source, one.offset, valuePath, () => {
          compileCondition({ operator: block.key, key, values: [one.text] }, { variables, whenUnreadable: false });
        });
      }
      conditions.push({ operator: block.key, key, values: values.map((one) => one.text) });
    }
  }
  if (conditions.length === 0) failAt(source, "invalid-condition", "an empty Condition restricts nothing", entry.keyOffset, path);
  return conditions;
}
