/**
 * Policy documents: IAM's JSON grammar, from JSON or (yaml.ts) YAML, checked whole. What this does not know it refuses, with line, column and
 * path: a misspelt element that is ignored is a policy that says something else than its author meant.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 *
 * Not checked: whether actions, services and condition keys exist, and whether a statement can ever match; that takes a mesh to look at.
 */
import type { Condition } from "./condition.ts";
import { sourceFromJson } from "./json.ts";
import type { PrincipalElement } from "./principal.ts";
import { checkSize, failAt, sourceFromValue, type Source, type SourceEntry } from "./source.ts";
import { readStatement } from "./statement.ts";
import { readList, readMapping, readText } from "./read.ts";

/**
 * What a document is for: `identity` (permissions, boundaries, session policies, guardrails) names no principal, `resource` has
 * to, and `trust` names principals and no resource.
 */
export type PolicyKind = "identity" | "resource" | "trust";

/** Only the later version has policy variables. A document without Version has the earlier one, as in AWS. */
export type PolicyVersion = "2012-10-17" | "2008-10-17";

/** A list of patterns, or with `negated` (NotAction, NotResource) all but what they match. Never empty. */
export interface PatternElement {
  readonly negated: boolean;
  readonly patterns: readonly string[];
}

export interface Statement {
  readonly sid: string | undefined;
  readonly effect: "Allow" | "Deny";
  readonly principal: PrincipalElement | undefined;
  readonly action: PatternElement;
  /** Undefined in trust policies alone. */
  readonly resource: PatternElement | undefined;
  readonly conditions: readonly Condition[];
}

export interface PolicyDocument {
  readonly version: PolicyVersion;
  readonly id: string | undefined;
  readonly statements: readonly Statement[];
}

/** Most statements of one document. */
export const maxStatements = 1024;

const documentElements = ["Version", "Id", "Statement"];
const idText = /^[\x20-\x7e]{1,256}$/;

/** Throws PolicyError. */
export function policyFromJson(text: string, kind: PolicyKind): PolicyDocument {
  return policyFromSource(sourceFromJson(text), kind);
}

/** From a value that another reader parsed, so that errors have a path but no line. Throws PolicyError. */
export function policyFromValue(value: unknown, kind: PolicyKind): PolicyDocument {
  return policyFromSource(sourceFromValue(value), kind);
}

/** Throws PolicyError. */
export function policyFromSource(source: Source, kind: PolicyKind): PolicyDocument {
  const elements = readMapping(source, source.root, "", documentElements);
  const statementElement = elements.get("Statement");
  if (statementElement === undefined) return failAt(source, "missing-element", "a policy has a Statement", source.root.offset, "");
  const list = readList(statementElement.value);
  if (list.length > maxStatements) {
    failAt(source, "too-many-statements", `${list.length} statements, ${maxStatements} at most`, statementElement.keyOffset, "Statement");
  }
  const version = readVersion(source, elements.get("Version"));
  const statements: Statement[] = [];
  const sids = new Set<string>();
  const single = statementElement.value.kind !== "sequence";
  for (const [index, node] of list.entries()) {
    const path = single ? "Statement" : `Statement[${index}]`;
    const statement = readStatement(source, node, path, kind, version === "2012-10-17");
    if (statement.sid !== undefined && sids.has(statement.sid)) {
      failAt(source, "duplicate-sid", `another statement has the Sid ${JSON.stringify(statement.sid)} too`, node.offset, `${path}.Sid`);
    }
    if (statement.sid !== undefined) sids.add(statement.sid);
    statements.push(statement);
  }
  const document = { version, id: readId(source, elements.get("Id")), statements };
  // It travels in this form, which may be longer than the one it was written in, and has to be read again.
  checkSize(formatPolicy(document));
  return document;
}

function readVersion(source: Source, entry: SourceEntry | undefined): PolicyVersion {
  if (entry === undefined) return "2008-10-17";
  const text = readText(source, entry.value, "Version");
  if (text === "2012-10-17" || text === "2008-10-17") return text;
  return failAt(source, "unknown-version", `${JSON.stringify(text)} is neither 2012-10-17 nor 2008-10-17`, entry.value.offset, "Version");
}

function readId(source: Source, entry: SourceEntry | undefined): string | undefined {
  if (entry === undefined) return undefined;
  const text = readText(source, entry.value, "Id");
  if (idText.test(text)) return text;
  return failAt(source, "invalid-id", "an Id is 1 to 256 printable ASCII characters", entry.value.offset, "Id");
}

/** The document as JSON text in one fixed form: equal documents give equal bytes. Reading it gives the document again. */
export function formatPolicy(document: PolicyDocument): string {
  return JSON.stringify({
    Version: document.version,
    ...(document.id === undefined ? {} : { Id: document.id }),
    Statement: document.statements.map(statementToJson),
  });
}

function statementToJson(statement: Statement): object {
  const { sid, effect, principal, action, resource, conditions } = statement;
  return {
    ...(sid === undefined ? {} : { Sid: sid }),
    Effect: effect,
    ...(principal === undefined ? {} : { [principal.negated ? "NotPrincipal" : "Principal"]: principalToJson(principal) }),
    [action.negated ? "NotAction" : "Action"]: action.patterns,
    ...(resource === undefined ? {} : { [resource.negated ? "NotResource" : "Resource"]: resource.patterns }),
    ...(conditions.length === 0 ? {} : { Condition: conditionsToJson(conditions) }),
  };
}

function principalToJson({ anyone, arns, spiffeIds, federated }: PrincipalElement): object | string {
  if (anyone && arns.length + spiffeIds.length + federated.length === 0) return "*";
  return {
    ...(anyone || arns.length > 0 ? { AWS: anyone ? ["*", ...arns] : arns } : {}),
    ...(spiffeIds.length > 0 ? { SPIFFE: spiffeIds } : {}),
    ...(federated.length > 0 ? { Federated: federated } : {}),
  };
}

function conditionsToJson(conditions: readonly Condition[]): object {
  const byOperator = new Map<string, [string, readonly string[]][]>();
  for (const { operator, key, values } of conditions) {
    const keys = byOperator.get(operator);
    if (keys === undefined) byOperator.set(operator, [[key, values]]);
    else keys.push([key, values]);
  }
  return Object.fromEntries([...byOperator].map(([operator, keys]) => [operator, Object.fromEntries(keys)]));
}
