/**
 * The tree that JSON and YAML texts have in common, every node with its offset, so that one reader of policies can say
 * where each mistake stands. Object keys stay a list: repeated ones must be seen, and `__proto__` is a key like another.
 */
import { PolicyError, type Place, type PolicyErrorCode } from "./error.ts";

/** Most bytes of UTF-8 that a document may have. */
export const maxDocumentBytes = 64 * 1024;

/** Most levels of objects and lists. A policy needs six. */
export const maxDocumentDepth = 10;

export interface SourceEntry {
  readonly key: string;
  readonly keyOffset: number;
  readonly value: SourceNode;
}

export interface SourceMapping {
  readonly kind: "mapping";
  readonly offset: number;
  readonly entries: readonly SourceEntry[];
}

export interface SourceSequence {
  readonly kind: "sequence";
  readonly offset: number;
  readonly items: readonly SourceNode[];
}

/** A scalar. `text` is the string itself, or the literal as it was written (`true`, `1.50`, `null`). */
export interface SourceScalar {
  readonly kind: "string" | "number" | "boolean" | "null";
  readonly offset: number;
  readonly text: string;
}

export type SourceNode = SourceMapping | SourceSequence | SourceScalar;

/** A parsed text. Without `text`, the tree came from a value in memory and has no positions. */
export interface Source {
  readonly root: SourceNode;
  readonly text: string | undefined;
}

/** Line and column of an offset, both from 1. */
export function placeOf(text: string | undefined, offset: number, path: string): Place {
  if (text === undefined) return { line: undefined, column: undefined, path };
  let line = 1;
  let start = 0;
  for (let end = text.indexOf("\n"); end >= 0 && end < offset; end = text.indexOf("\n", start)) {
    line += 1;
    start = end + 1;
  }
  return { line, column: offset - start + 1, path };
}

/** Throws a PolicyError that points at `offset` of the source's text. */
export function failAt(
  source: { readonly text: string | undefined },
  code: PolicyErrorCode,
  problem: string,
  offset: number,
  path: string,
): never {
  throw new PolicyError(code, problem, placeOf(source.text, offset, path));
}

/** Refuses a text over the limit before anything else looks at it. */
export function checkSize(text: string): void {
  if (text.length > maxDocumentBytes || Buffer.byteLength(text) > maxDocumentBytes) {
    throw new PolicyError("too-large", `a policy document may have ${maxDocumentBytes} bytes at most`);
  }
}

/**
 * The tree of a value in memory (what JSON.parse or a YAML parser made), for policies that arrive inside other documents. Errors
 * then carry a path and no line. Only plain data is taken: anything else is `wrong-type`.
 */
export function sourceFromValue(value: unknown): Source {
  return { root: nodeFromValue(value, 0, ""), text: undefined };
}

function nodeFromValue(value: unknown, depth: number, path: string): SourceNode {
  const place = { line: undefined, column: undefined, path };
  if (depth > maxDocumentDepth) throw new PolicyError("too-deep", `nested more than ${maxDocumentDepth} levels`, place);
  if (typeof value === "string") return { kind: "string", offset: 0, text: value };
  if (typeof value === "number") return { kind: "number", offset: 0, text: String(value) };
  if (typeof value === "boolean") return { kind: "boolean", offset: 0, text: String(value) };
  if (value === null) return { kind: "null", offset: 0, text: "null" };
  if (Array.isArray(value)) {
    return { kind: "sequence", offset: 0, items: value.map((item, index) => nodeFromValue(item, depth + 1, `${path}[${index}]`)) };
  }
  if (typeof value === "object") {
    const entries = Object.entries(value).map(([key, inner]) => ({
      key,
      keyOffset: 0,
      value: nodeFromValue(inner, depth + 1, path === "" ? key : `${path}.${key}`),
    }));
    return { kind: "mapping", offset: 0, entries };
  }
  throw new PolicyError("wrong-type", `${typeof value} is not plain data`, place);
}
