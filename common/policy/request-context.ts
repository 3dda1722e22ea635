/**
 * What conditions and policy variables read of a request: condition keys, fetched when a statement asks for them, so that
 * a request pays only for what its policies look at.
 */

/** Condition keys of one request. Called on the hot path: must not allocate more than the value needs. */
export interface RequestContext {
  /**
   * The value of a condition key, its values if it can have several, or undefined if the request has none.
   * `key` is always in the form of `canonicalKey`. If it throws, the request is denied.
   */
  get(key: string): string | readonly string[] | undefined;
}

const caseSensitiveNames = ["http:query/", "jwt:claim/"];

/**
 * The form in which keys are looked up. Condition keys ignore case as in AWS (names of tags and headers too), but
 * `http:Query/<name>` and `jwt:claim/<name>` name things that tell upper case from lower case: there the name is kept.
 */
export function canonicalKey(key: string): string {
  const lower = key.toLowerCase();
  for (const prefix of caseSensitiveNames) if (lower.startsWith(prefix)) return prefix + key.slice(prefix.length);
  return lower;
}

/** A context of fixed values, keys in any case. For trust policies, simulation and tests. */
export function contextFromEntries(entries: Iterable<readonly [string, string | readonly string[]]>): RequestContext {
  const values = new Map<string, string | readonly string[]>();
  for (const [key, value] of entries) values.set(canonicalKey(key), value);
  return { get: (key) => values.get(key) };
}
