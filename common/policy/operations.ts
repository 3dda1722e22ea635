/**
 * From a request line to an action and a resource: a radix tree over the path templates of a service's operations. Hot path.
 *
 * A parameter is one whole segment, never empty. Where both match, the literal segment wins over the parameter, from left to right. The
 * path is the normalised one that was signed and will be forwarded; parameter values are taken from it as they stand, percent-encoded.
 */
import { PolicyError } from "./error.ts";

/** `GetItem: GET /items/{id}` on `item/{id}`. */
export interface OperationTemplate {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  /** May use the path's parameters. */
  readonly resource: string;
}

export interface MatchedOperation {
  /** `orders:GetItem`, or `orders:GET` for what no operation declares. */
  readonly action: string;
  /** Last part of the ARN: `item/42`, or the path itself, `/items/42`. */
  readonly resource: string;
}

export interface OperationRouter {
  /** What is declared, and nothing else. */
  declared(method: string, path: string): MatchedOperation | undefined;
  /** `path` without the query. Undefined if the service is strict and declares no such operation. */
  match(method: string, path: string): MatchedOperation | undefined;
}

/** A resource template: texts and, between them, which of the path's parameters. */
interface Operation {
  readonly action: string;
  readonly texts: readonly string[];
  readonly parameters: readonly number[];
}

interface RouteNode {
  label: string;
  children: Map<number, RouteNode> | undefined;
  /** Reached by a whole segment. */
  parameter: RouteNode | undefined;
  /** By method, of templates that end here. */
  operations: Map<string, Operation> | undefined;
}

const slash = 47;
const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
const nameText = /^[A-Za-z][A-Za-z0-9_]{0,127}$/;
const methodText = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/;
const pathText = /^\/[!-~]*$/;
const parameterText = /^\{[A-Za-z][A-Za-z0-9_]*\}$/;
const parameterInResource = /\{([^{}]*)\}/;

/**
 * `service` is the prefix of actions. Throws PolicyError: `invalid-operation` for a template that cannot be matched,
 * `conflicting-operations` for two that match the same requests.
 */
export function createOperationRouter(
  service: string,
  operations: readonly OperationTemplate[],
  { strict }: { readonly strict: boolean },
): OperationRouter {
  const root = createNode("");
  for (const operation of operations) insert(root, service, operation);
  const undeclared = new Map(methods.map((method) => [method, `${service}:${method}`]));
  const declared = (method: string, path: string): MatchedOperation | undefined => {
    const values: number[] = [];
    const operation = find(root, method, path, 0, values);
    return operation && { action: operation.action, resource: fill(operation, path, values) };
  };
  return {
    declared,
    match: (method, path) => {
      const operation = declared(method, path);
      if (operation !== undefined || strict) return operation;
      return { action: undeclared.get(method) ?? `${service}:${method}`, resource: path };
    },
  };
}

function createNode(label: string): RouteNode {
  return { label, children: undefined, parameter: undefined, operations: undefined };
}

function insert(root: RouteNode, service: string, { name, method, path, resource }: OperationTemplate): void {
  const invalid = (problem: string): never => {
    throw new PolicyError("invalid-operation", `operation ${JSON.stringify(name)}: ${problem}`);
  };
  if (!nameText.test(name)) invalid("a name is letters, digits and underscores");
  // Actions ignore case: an operation called Get would be granted by what grants GET of undeclared paths.
  if (methods.includes(name.toUpperCase())) invalid("a name that is a method is the action of undeclared requests");
  if (!methodText.test(method)) invalid(`${JSON.stringify(method)} is not a method`);
  if (!pathText.test(path) || /[?#]/.test(path)) invalid(`${JSON.stringify(path)} is not a path`);

  let node = root;
  const parameters: string[] = [];
  for (const piece of path.split(/(?<=\/)(?=\{)|(?<=\})(?=\/)/)) {
    if (!/[{}]/.test(piece)) {
      node = literalNode(node, piece);
    } else if (!parameterText.test(piece)) {
      invalid(`${JSON.stringify(piece)}: a parameter is a whole segment, {name}`);
    } else if (parameters.includes(piece.slice(1, -1))) {
      invalid(`${piece} is given twice`);
    } else {
      parameters.push(piece.slice(1, -1));
      node = node.parameter ??= createNode("");
    }
  }
  const pieces = resource.split(parameterInResource);
  const used = pieces.filter((_, index) => index % 2 === 1);
  for (const parameter of used)
    if (!parameters.includes(parameter)) invalid(`its resource uses {${parameter}}, which its path does not have`);
  const texts = pieces.filter((_, index) => index % 2 === 0);
  if (resource === "" || texts.some((text) => /[{}]|[^!-~]/.test(text))) invalid(`${JSON.stringify(resource)} is not a resource`);

  node.operations ??= new Map();
  const other = node.operations.get(method);
  if (other !== undefined) {
    throw new PolicyError(
      "conflicting-operations",
      `${method} ${path} is ${JSON.stringify(name)} and ${JSON.stringify(other.action)} both`,
    );
  }
  const indexes = used.map((parameter) => parameters.indexOf(parameter));
  node.operations.set(method, { action: `${service}:${name}`, texts, parameters: indexes });
}

/** The node below `from` that literal text leads to, made where there is none. */
function literalNode(from: RouteNode, text: string): RouteNode {
  let node = from;
  let at = 0;
  while (at < text.length) {
    node.children ??= new Map();
    const child = node.children.get(text.charCodeAt(at));
    if (child === undefined) {
      const leaf = createNode(text.slice(at));
      node.children.set(text.charCodeAt(at), leaf);
      return leaf;
    }
    let shared = 1;
    while (shared < child.label.length && child.label.charCodeAt(shared) === text.charCodeAt(at + shared)) shared += 1;
    at += shared;
    if (shared < child.label.length) {
      const middle = createNode(child.label.slice(0, shared));
      child.label = child.label.slice(shared);
      middle.children = new Map([[child.label.charCodeAt(0), child]]);
      node.children.set(middle.label.charCodeAt(0), middle);
      node = middle;
    } else {
      node = child;
    }
  }
  return node;
}

/**
 * Depth first, literals before parameters. A node is reached at one place of the path only, so each is visited once
 * at most. `values` holds start and end of each parameter.
 */
function find(node: RouteNode, method: string, path: string, at: number, values: number[]): Operation | undefined {
  if (at === path.length) return node.operations?.get(method);
  const child = node.children?.get(path.charCodeAt(at));
  if (child !== undefined && path.startsWith(child.label, at)) {
    const found = find(child, method, path, at + child.label.length, values);
    if (found !== undefined) return found;
  }
  if (node.parameter === undefined || path.charCodeAt(at) === slash) return undefined;
  const next = path.indexOf("/", at);
  const end = next < 0 ? path.length : next;
  values.push(at, end);
  const found = find(node.parameter, method, path, end, values);
  if (found === undefined) values.length -= 2;
  return found;
}

function fill({ texts, parameters }: Operation, path: string, values: readonly number[]): string {
  let resource = texts[0] ?? "";
  for (let index = 0; index < parameters.length; index += 1) {
    const at = (parameters[index] ?? 0) * 2;
    resource += path.slice(values[at], values[at + 1]) + (texts[index + 1] ?? "");
  }
  return resource;
}
