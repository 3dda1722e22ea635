/**
 * Configuration as a pure function of a string map. A program lists its variables; `readEnvironment` reads them all and
 * fails with every bad one at once, before a port opens. A `COUNTERSIGN_*` variable that the program does not know is an
 * error too: a misspelt setting must not silently take its default.
 */

export type Environment = Readonly<Record<string, string | undefined>>;

/** Every problem with the environment, one line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly code = "invalid-environment";
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join("\n"));
    this.problems = problems;
  }
}

/** One environment variable: `read` gets undefined where it is unset or empty, and throws `Expected` for what it cannot take. */
export interface Variable<T> {
  readonly name: string;
  readonly read: (text: string | undefined) => T;
}

class Expected extends Error {}

function variable<T>(name: string, expected: string, parse: (text: string) => T | undefined, hidden = false): Variable<T> {
  return {
    name,
    read(text) {
      if (text === undefined) throw new Expected(`expected ${expected}, but it is not set`);
      const value = parse(text);
      if (value === undefined) throw new Expected(`expected ${expected}, found ${hidden ? "something else" : JSON.stringify(text)}`);
      return value;
    },
  };
}

/** Unset becomes undefined. */
export function optional<T>(inner: Variable<T>): Variable<T | undefined> {
  return { name: inner.name, read: (text) => (text === undefined ? undefined : inner.read(text)) };
}

/** Unset becomes `value`. */
export function withDefault<T>(inner: Variable<T>, value: T): Variable<T> {
  return { name: inner.name, read: (text) => (text === undefined ? value : inner.read(text)) };
}

/** Any text; `expected` says in an error what belongs there, e.g. `a folder`. */
export function text(name: string, expected: string): Variable<string> {
  return variable(name, expected, (value) => value);
}

/** Text in the form that `pattern` describes whole. */
export function pattern(name: string, expected: string, form: RegExp): Variable<string> {
  return variable(name, expected, (value) => (form.test(value) ? value : undefined));
}

/** Text that no error message repeats. */
export function secret(name: string, expected: string): Variable<string> {
  return variable(name, expected, (value) => value, true);
}

export function integer(name: string, range: { readonly minimum: number; readonly maximum: number }): Variable<number> {
  return variable(name, `a whole number from ${range.minimum} to ${range.maximum}`, (value) => {
    if (!/^-?\d{1,15}$/.test(value)) return undefined;
    const number = Number(value);
    return number >= range.minimum && number <= range.maximum ? number : undefined;
  });
}

/** `true` or `false`. */
export function flag(name: string): Variable<boolean> {
  return variable(name, "true or false", (value) => (value === "true" ? true : value === "false" ? false : undefined));
}

export function oneOf<const T extends string>(name: string, choices: readonly T[]): Variable<T> {
  return variable(name, `one of ${choices.join(", ")}`, (value) => choices.find((choice) => choice === value));
}

/** Where to listen or connect. Port 0 lets the kernel choose. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port`, `[v6]:port`; undefined for anything else. */
export function addressFromString(value: string): Address | undefined {
  const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/[\]@]+)):(\d{1,5})$/.exec(value);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65535) return undefined;
  return { host: parts[1] ?? parts[2] ?? "", port };
}

/** `host:port`, with brackets around an IPv6 address. */
export function addressToString(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

export function address(name: string): Variable<Address> {
  return variable(name, "host:port", addressFromString);
}

/** Where to listen: an address, or a socket that whoever started this process has bound already and handed down. */
export type ListenTarget = Address | { readonly fd: number };

/** Reads `host:port`, or `fd:<n>` for a socket that is handed down; 0 to 2 are the standard streams. */
export function listenTarget(name: string): Variable<ListenTarget> {
  return variable(name, "host:port, or fd:<number> of a socket handed down", (value) => {
    const number = /^fd:(\d{1,4})$/.exec(value)?.[1];
    if (number === undefined) return addressFromString(value);
    return Number(number) > 2 ? { fd: Number(number) } : undefined;
  });
}

/** The command line's own, which a shell may have set for whatever it starts. */
const ofTheCommandLine = "COUNTERSIGN_ADMIN_SOCKET";

const linkHost = "SERVICE_HOST";
const linkForm = /^(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/;

/**
 * Whether Kubernetes made that variable of a Service of the pod's namespace, as it does of each: whatever Services are called, a
 * sidecar has to start beside them.
 */
function isServiceLink(name: string, environment: Environment): boolean {
  for (let end = name.indexOf("_") + 1; end > 0; end = name.indexOf("_", end) + 1) {
    if (environment[name.slice(0, end) + linkHost] !== undefined && linkForm.test(name.slice(end))) return true;
  }
  return false;
}

/**
 * Reads every variable of `variables` from `environment`. Throws one ConfigError that names each variable that is
 * missing or malformed, and each `COUNTERSIGN_*` variable that is not among them, but for those of Services in Kubernetes.
 */
export function readEnvironment<T extends Readonly<Record<string, Variable<unknown>>>>(
  environment: Environment,
  variables: T,
): { readonly [K in keyof T]: T[K] extends Variable<infer V> ? V : never } {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, { name, read }] of Object.entries(variables)) {
    const raw = environment[name];
    try {
      values[key] = read(raw === "" ? undefined : raw);
    } catch (error) {
      if (!(error instanceof Expected)) throw error;
      problems.push(`${name}: ${error.message}`);
    }
  }
  const known = [...Object.values(variables).map(({ name }) => name), ofTheCommandLine];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith("COUNTERSIGN_") || known.includes(name) || isServiceLink(name, environment)) continue;
    const near = nearest(name, known);
    problems.push(`${name}: not a variable of this program${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return values as { readonly [K in keyof T]: T[K] extends Variable<infer V> ? V : never };
}

/** The candidate within a third of the word's length in edits (Levenshtein), or undefined. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.ceil(word.length / 3) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate);
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
