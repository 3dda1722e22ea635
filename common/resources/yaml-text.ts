/**
 * YAML (and so JSON) text as documents whose nodes know where they stand. YAML 1.2, core schema; repeated keys, merge
 * keys, custom tags and aliases are refused, so that what is read is what stands there.
 */
import { LineCounter, isAlias, isMap, isScalar, isSeq, parseAllDocuments, visit } from "yaml";
import type { Document, Node } from "yaml";
import type { SourceNode } from "../policy/source.ts";
import { formatPath } from "./issue.ts";
import type { Path } from "./issue.ts";
import type { ResourceProblem } from "./error.ts";

/** Longest text that is read, in characters. */
export const maxTextLength = 4 * 1024 * 1024;

/** One slip makes the parser complain of all that follows: the first complaints are what a person needs. */
const maxSyntaxErrors = 20;

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

export interface YamlDocument {
  /** The whole text that the document is part of. */
  readonly text: string;
  /** Plain data. */
  readonly value: unknown;
  readonly problemAt: (path: Path, atKey: boolean, expected: string, found: string) => ResourceProblem;
  /** The part at `path` as common/policy reads documents, with the offsets of the whole text; undefined where there is none. */
  readonly sourceAt: (path: Path) => SourceNode | undefined;
}

export interface YamlText {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly ResourceProblem[];
}

/** Reads every document of `text`. What is not YAML is among `problems`, and documents with such mistakes are left out. */
export function parseYamlText(text: string, file: string): YamlText {
  const whole = (expected: string, found: string): YamlText => ({
    documents: [],
    problems: [{ file, line: 1, column: 1, path: "", expected, found }],
  });
  if (text.length > maxTextLength) return whole(`at most ${maxTextLength} characters`, `${text.length}`);
  try {
    return parse(text, file);
  } catch (error) {
    // The parser recurses: a text of a hundred thousand brackets ends its stack.
    if (error instanceof RangeError) return whole("resources", "a text that is nested too deep");
    throw error;
  }
}

function parse(text: string, file: string): YamlText {
  const lines = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter: lines, version: "1.2", schema: "core", prettyErrors: false, logLevel: "silent" });
  const problems: ResourceProblem[] = [];
  const documents: YamlDocument[] = [];
  const problem = (offset: number, path: string, expected: string, found: string): ResourceProblem => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1), path, expected, found };
  };
  for (const document of Array.isArray(parsed) ? (parsed as Document.Parsed[]) : []) {
    const errors = [...document.errors, ...document.warnings];
    // Where the end of the stack is met within its own handlers, the parser reports it as a mistake of the text.
    if (errors.some(({ message }) => /call stack|stack overflow/i.test(message))) throw new RangeError("the parser's stack ended");
    const found = errors.slice(0, maxSyntaxErrors).map((error) => problem(error.pos[0], "", "", lowerFirst(error.message)));
    visit(document, {
      Node(_key, node) {
        if (node.tag !== undefined) found.push(problem(node.range?.[0] ?? 0, "", "plain values", "a tag"));
        if (isAlias(node)) found.push(problem(node.range?.[0] ?? 0, "", "plain values", "an alias"));
        if (!isScalar(node)) return;
        const { value, source } = node;
        if (typeof value !== "number" || (source !== undefined && jsonNumber.test(source))) return;
        // 0x10, 012 and .inf are numbers to YAML; a reader may well think otherwise.
        found.push(problem(node.range?.[0] ?? 0, "", "a number as JSON writes it, or quotes", source ?? String(value)));
      },
    });
    problems.push(...found);
    if (found.length > 0 || document.contents === null || (isScalar(document.contents) && document.contents.value === null)) continue;
    documents.push({
      text,
      value: document.toJS(),
      problemAt: (path, atKey, expected, what) => problem(offsetOf(document, path, atKey), formatPath(path), expected, what),
      sourceAt(path) {
        const node = path.length === 0 ? document.contents : document.getIn(path, true);
        return isMap(node) ? sourceOf(node) : undefined;
      },
    });
  }
  return { documents, problems };
}

/** Where the value at `path` stands, its key, or the nearest that encloses it. */
function offsetOf(document: Document.Parsed, path: Path, atKey: boolean): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range[0] ?? document.range[0];
  for (const [index, key] of path.entries()) {
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key));
      if (pair === undefined) return offset;
      const keyOffset = (pair.key as Node).range?.[0] ?? offset;
      if (last && atKey) return keyOffset;
      node = pair.value;
      offset = (node as Node | null)?.range?.[0] ?? keyOffset;
    } else if (isSeq(node)) {
      node = node.items[Number(key)];
      if (node === undefined) return offset;
      offset = (node as Node | null)?.range?.[0] ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function sourceOf(node: unknown): SourceNode {
  const offset = (node as Node | null)?.range?.[0] ?? 0;
  if (isMap(node)) {
    return {
      kind: "mapping",
      offset,
      entries: node.items.map((pair) => ({
        key: isScalar(pair.key) ? String(pair.key.value) : "",
        keyOffset: (pair.key as Node).range?.[0] ?? offset,
        value: sourceOf(pair.value),
      })),
    };
  }
  if (isSeq(node)) return { kind: "sequence", offset, items: node.items.map(sourceOf) };
  const value = isScalar(node) ? node.value : null;
  if (typeof value === "string") return { kind: "string", offset, text: value };
  if (typeof value === "boolean") return { kind: "boolean", offset, text: String(value) };
  if (typeof value === "number") return { kind: "number", offset, text: isScalar(node) ? (node.source ?? String(value)) : String(value) };
  return { kind: "null", offset, text: "null" };
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
