/** Reading of the nodes that elements of a policy are made of, each complaint at its place. */
import { PolicyError } from "./error.ts";
import { failAt, type Source, type SourceEntry, type SourceNode, type SourceScalar } from "./source.ts";

/** The entries of an object, all of whose keys have to be among `known`. */
export function readMapping(source: Source, node: SourceNode, path: string, known: readonly string[]): ReadonlyMap<string, SourceEntry> {
  const elements = new Map<string, SourceEntry>();
  for (const entry of readEntries(source, node, path)) {
    if (!known.includes(entry.key)) {
      const meant = known.find((name) => name.toLowerCase() === entry.key.toLowerCase());
      const hint = meant === undefined ? `known are ${known.join(", ")}` : `did you mean ${meant}?`;
      failAt(source, "unknown-element", `no element is called ${JSON.stringify(entry.key)}; ${hint}`, entry.keyOffset, path);
    }
    elements.set(entry.key, entry);
  }
  return elements;
}

export function readEntries(source: Source, node: SourceNode, path: string): readonly SourceEntry[] {
  if (node.kind !== "mapping") return failAt(source, "wrong-type", `expected an object, not ${describe(node)}`, node.offset, path);
  return node.entries;
}

/** A list, or the one thing that may stand in its place. */
export function readList(node: SourceNode): readonly SourceNode[] {
  return node.kind === "sequence" ? node.items : [node];
}

export function readText(source: Source, node: SourceNode, path: string): string {
  if (node.kind !== "string") return failAt(source, "wrong-type", `expected a string, not ${describe(node)}`, node.offset, path);
  return node.text;
}

/** A text or a list of texts, at least one, each passed to `check`, whose PolicyErrors are given their place. */
export function readTexts(source: Source, node: SourceNode, path: string, check: (text: string) => void): readonly string[] {
  const items = readList(node);
  if (items.length === 0) failAt(source, "wrong-type", "an empty list matches nothing", node.offset, path);
  return items.map((item, index) => {
    const itemPath = node.kind === "sequence" ? `${path}[${index}]` : path;
    const text = readText(source, item, itemPath);
    at(source, item.offset, itemPath, () => check(text));
    return text;
  });
}

/** Values of a condition: strings, and the numbers and booleans that AWS lets stand without quotes, as they were written. */
export function readValues(source: Source, node: SourceNode, path: string): readonly SourceScalar[] {
  const items = readList(node);
  if (items.length === 0) failAt(source, "invalid-condition", "a condition without values", node.offset, path);
  return items.map((item, index) => {
    if (item.kind === "mapping" || item.kind === "sequence" || item.kind === "null") {
      const itemPath = node.kind === "sequence" ? `${path}[${index}]` : path;
      return failAt(source, "wrong-type", `expected a value, not ${describe(item)}`, item.offset, itemPath);
    }
    return item;
  });
}

/** Runs `work`, and gives its PolicyErrors their place. */
export function at<Result>(source: Source, offset: number, path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof PolicyError) return failAt(source, error.code, error.problem, offset, path);
    throw error;
  }
}

function describe(node: SourceNode): string {
  if (node.kind === "mapping") return "an object";
  if (node.kind === "sequence") return "a list";
  return node.kind === "null" ? "null" : `the ${node.kind} ${JSON.stringify(node.text.slice(0, 40))}`;
}
