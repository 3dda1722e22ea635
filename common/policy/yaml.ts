/**
 * The YAML subset in which policies may be written: one document of plain mappings, sequences and scalars of YAML 1.2's core
 * schema. A file of its own, because sidecars read JSON alone and need not load a reader of YAML. Anchors, aliases, tags, merge keys and directives are refused, so that what is read is what stands there.
 */
import { Composer, isMap, isScalar, isSeq, Parser, type CST, type Node } from "yaml";
import { policyFromSource, type PolicyDocument, type PolicyKind } from "./document.ts";
import { PolicyError } from "./error.ts";
import { checkSize, failAt, maxDocumentDepth, placeOf, type Source, type SourceEntry, type SourceNode } from "./source.ts";

const refused = new Map<string, string>([
  ["alias", "aliases"],
  ["anchor", "anchors"],
  ["tag", "tags"],
  ["directive", "directives"],
]);
const numberLiteral = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/;

/** Throws PolicyError. */
export function policyFromYaml(text: string, kind: PolicyKind): PolicyDocument {
  return policyFromSource(sourceFromYaml(text), kind);
}

/** Reads one YAML document. Throws PolicyError: `too-large`, `too-deep`, `syntax`, `duplicate-key`, `wrong-type`. */
export function sourceFromYaml(text: string): Source {
  checkSize(text);
  const tokens = [...new Parser().parse(text)];
  checkTokens(text, tokens);
  const composer = new Composer({ uniqueKeys: false, version: "1.2", schema: "core", strict: true, logLevel: "silent" });
  const [document, second] = composer.compose(tokens, true, text.length);
  if (document === undefined) return failAt({ text }, "syntax", "the text is empty", 0, "");
  if (second !== undefined) failAt({ text }, "syntax", "more than one document", second.range[0], "");
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem !== undefined) {
    throw new PolicyError("syntax", problem.message, placeOf(text, problem.pos[0], ""), { cause: problem });
  }
  return { root: convert(text, document.contents, document.range[0], ""), text };
}

/** Depth and forbidden constructs, on the tokens: composing recurses, so it must not see a document that is too deep. */
function checkTokens(text: string, tokens: readonly CST.Token[]): void {
  const pending: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 })).toReversed();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    refuse(text, token);
    if (token.type === "document") {
      for (const inner of token.start) refuse(text, inner);
      if (token.value !== undefined) pending.push({ token: token.value, depth });
    } else if ("items" in token) {
      if (depth >= maxDocumentDepth) failAt({ text }, "too-deep", `nested more than ${maxDocumentDepth} levels`, token.offset, "");
      for (const item of token.items) {
        for (const inner of item.start) refuse(text, inner);
        for (const inner of item.sep ?? []) refuse(text, inner);
        if (item.key) pending.push({ token: item.key, depth: depth + 1 });
        if (item.value) pending.push({ token: item.value, depth: depth + 1 });
      }
    }
  }
}

function refuse(text: string, token: CST.Token | CST.SourceToken): void {
  const construct = refused.get(token.type);
  if (construct !== undefined) failAt({ text }, "syntax", `${construct} are not accepted in a policy`, token.offset, "");
}

function convert(text: string, node: Node | null, fallbackOffset: number, path: string): SourceNode {
  const offset = node?.range?.[0] ?? fallbackOffset;
  if (isMap(node)) {
    const entries: SourceEntry[] = [];
    const seen = new Set<string>();
    for (const pair of node.items) {
      const keyNode = pair.key as Node | null;
      const keyOffset = keyNode?.range?.[0] ?? offset;
      if (!isScalar(keyNode) || typeof keyNode.value !== "string")
        return failAt({ text }, "wrong-type", "keys are strings", keyOffset, path);
      const key = keyNode.value;
      if (seen.has(key)) failAt({ text }, "duplicate-key", `${JSON.stringify(key)} is given twice`, keyOffset, path);
      seen.add(key);
      entries.push({ key, keyOffset, value: convert(text, pair.value as Node | null, keyOffset, path === "" ? key : `${path}.${key}`) });
    }
    return { kind: "mapping", offset, entries };
  }
  if (isSeq(node)) {
    return {
      kind: "sequence",
      offset,
      items: node.items.map((item, index) => convert(text, item as Node | null, offset, `${path}[${index}]`)),
    };
  }
  if (node === null) return { kind: "null", offset, text: "null" };
  if (!isScalar(node)) return failAt({ text }, "syntax", "not a value that a policy may have", offset, path);
  const value: unknown = node.value;
  if (typeof value === "string") return { kind: "string", offset, text: value };
  if (typeof value === "boolean") return { kind: "boolean", offset, text: String(value) };
  if (value === null) return { kind: "null", offset, text: "null" };
  const written = node.source ?? "";
  // 0x10, 012 and .inf are numbers to YAML; a reader of the policy may well think otherwise.
  if (!numberLiteral.test(written))
    failAt({ text }, "wrong-type", `${written} has to be quoted, or written as JSON writes numbers`, offset, path);
  return { kind: "number", offset, text: written };
}
