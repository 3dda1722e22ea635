/**
 * A strict JSON reader (RFC 8259) that keeps positions and refuses repeated keys. JSON.parse does neither, and keeps the last
 * of two `Effect`s; two readers that keep different ones is how a policy comes to mean two things.
 */
import { checkSize, failAt, maxDocumentDepth, type Source, type SourceEntry, type SourceNode } from "./source.ts";

const numberLiteral = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const literals = [
  ["true", "boolean"],
  ["false", "boolean"],
  ["null", "null"],
] as const;
const simpleEscapes = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);
const fourHex = /^[0-9a-fA-F]{4}$/;

/** Reads one JSON value and nothing after it. Throws PolicyError: `too-large`, `too-deep`, `syntax`, `duplicate-key`. */
export function sourceFromJson(text: string): Source {
  checkSize(text);
  let at = 0;

  function fail(problem: string, offset = at): never {
    return failAt({ text }, "syntax", problem, offset, "");
  }

  function skipSpace(): void {
    while (at < text.length && " \t\r\n".includes(text.charAt(at))) at += 1;
  }

  function expected(what: string): never {
    return fail(
      at >= text.length ? `expected ${what}, but the text ends here` : `expected ${what}, not ${JSON.stringify(text.charAt(at))}`,
    );
  }

  function readEscape(): string {
    const letter = text.charAt(at + 1);
    const simple = simpleEscapes.get(letter);
    if (simple !== undefined) {
      at += 2;
      return simple;
    }
    const hex = text.slice(at + 2, at + 6);
    if (letter !== "u" || !fourHex.test(hex)) fail("not an escape that JSON knows");
    at += 6;
    return String.fromCharCode(Number.parseInt(hex, 16));
  }

  function readString(): string {
    if (text.charAt(at) !== '"') expected("a string");
    const start = at;
    at += 1;
    let value = "";
    for (;;) {
      if (at >= text.length) fail("a string without its closing quote", start);
      const character = text.charAt(at);
      if (character === '"') break;
      if (character < " ") fail("a control character inside a string");
      if (character === "\\") {
        value += readEscape();
      } else {
        value += character;
        at += 1;
      }
    }
    at += 1;
    if (!value.isWellFormed()) fail("a string with half a surrogate pair", start);
    return value;
  }

  function readMapping(depth: number): SourceNode {
    const offset = at;
    const entries: SourceEntry[] = [];
    const seen = new Set<string>();
    at += 1;
    skipSpace();
    if (text.charAt(at) === "}") {
      at += 1;
      return { kind: "mapping", offset, entries };
    }
    for (;;) {
      skipSpace();
      const keyOffset = at;
      const key = readString();
      if (seen.has(key)) failAt({ text }, "duplicate-key", `${JSON.stringify(key)} is given twice`, keyOffset, "");
      seen.add(key);
      skipSpace();
      if (text.charAt(at) !== ":") expected('":"');
      at += 1;
      entries.push({ key, keyOffset, value: readValue(depth) });
      skipSpace();
      const next = text.charAt(at);
      if (next !== "," && next !== "}") expected('"," or "}"');
      at += 1;
      if (next === "}") return { kind: "mapping", offset, entries };
    }
  }

  function readSequence(depth: number): SourceNode {
    const offset = at;
    const items: SourceNode[] = [];
    at += 1;
    skipSpace();
    if (text.charAt(at) === "]") {
      at += 1;
      return { kind: "sequence", offset, items };
    }
    for (;;) {
      items.push(readValue(depth));
      skipSpace();
      const next = text.charAt(at);
      if (next !== "," && next !== "]") expected('"," or "]"');
      at += 1;
      if (next === "]") return { kind: "sequence", offset, items };
    }
  }

  function readValue(depth: number): SourceNode {
    skipSpace();
    const offset = at;
    const first = text.charAt(at);
    if (first === "{" || first === "[") {
      if (depth >= maxDocumentDepth) failAt({ text }, "too-deep", `nested more than ${maxDocumentDepth} levels`, offset, "");
      return first === "{" ? readMapping(depth + 1) : readSequence(depth + 1);
    }
    if (first === '"') return { kind: "string", offset, text: readString() };
    for (const [literal, kind] of literals) {
      if (text.startsWith(literal, at)) {
        at += literal.length;
        return { kind, offset, text: literal };
      }
    }
    numberLiteral.lastIndex = at;
    const number = numberLiteral.exec(text);
    if (number === null) return expected("a value");
    at += number[0].length;
    return { kind: "number", offset, text: number[0] };
  }

  const root = readValue(0);
  skipSpace();
  if (at < text.length) expected("the end of the text");
  return { root, text };
}
