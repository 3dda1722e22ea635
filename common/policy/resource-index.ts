/**
 * A radix tree over the literal prefixes of resource patterns: walking a request's ARN down it passes just those patterns
 * whose prefix the ARN has, however many others there are. Hot path.
 */
import type { RequestContext } from "./request-context.ts";
import type { ResourcePattern } from "./resource-pattern.ts";
import type { TemplateMatcher } from "./template-match.ts";

interface Remainder<Item> {
  readonly matches: TemplateMatcher;
  readonly item: Item;
}

interface IndexNode<Item> {
  label: string;
  children: Map<number, IndexNode<Item>> | undefined;
  /** Patterns that end here: the ARN has to as well. */
  readonly ends: Item[];
  /** Patterns with a star from here on. */
  readonly stars: Item[];
  readonly remainders: Remainder<Item>[];
}

export interface ResourceIndex<Item> {
  readonly root: IndexNode<Item>;
}

function createNode<Item>(label: string): IndexNode<Item> {
  return { label, children: undefined, ends: [], stars: [], remainders: [] };
}

export function createResourceIndex<Item>(): ResourceIndex<Item> {
  return { root: createNode("") };
}

export function insertPattern<Item>(index: ResourceIndex<Item>, { prefix, rest }: ResourcePattern, item: Item): void {
  const node = nodeOf(index.root, prefix);
  if (rest === "nothing") node.ends.push(item);
  else if (rest === "anything") node.stars.push(item);
  else node.remainders.push({ matches: rest, item });
}

/** The node of a prefix, made where there is none. */
function nodeOf<Item>(root: IndexNode<Item>, prefix: string): IndexNode<Item> {
  let node = root;
  let at = 0;
  while (at < prefix.length) {
    node.children ??= new Map();
    const child = node.children.get(prefix.charCodeAt(at));
    if (child === undefined) {
      const leaf = createNode<Item>(prefix.slice(at));
      node.children.set(prefix.charCodeAt(at), leaf);
      return leaf;
    }
    let shared = 1;
    while (shared < child.label.length && child.label.charCodeAt(shared) === prefix.charCodeAt(at + shared)) shared += 1;
    at += shared;
    if (shared === child.label.length) {
      node = child;
      continue;
    }
    const middle = createNode<Item>(child.label.slice(0, shared));
    child.label = child.label.slice(shared);
    middle.children = new Map([[child.label.charCodeAt(0), child]]);
    node.children.set(middle.label.charCodeAt(0), middle);
    node = middle;
  }
  return node;
}

/** Calls `visit` for every pattern that the ARN matches: more than once for an item with several such patterns. */
export function visitMatches<Item, State>(
  index: ResourceIndex<Item>,
  resource: string,
  context: RequestContext,
  visit: (state: State, item: Item) => void,
  state: State,
): void {
  let node = index.root;
  let at = 0;
  for (;;) {
    for (const item of node.stars) visit(state, item);
    for (const { matches, item } of node.remainders) if (matches(resource, at, context)) visit(state, item);
    if (at === resource.length) {
      for (const item of node.ends) visit(state, item);
      return;
    }
    const child = node.children?.get(resource.charCodeAt(at));
    if (child === undefined || !resource.startsWith(child.label, at)) return;
    at += child.label.length;
    node = child;
  }
}
