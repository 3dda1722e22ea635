/** Permissions of service-linked roles: what a service declared that it calls, and no more. */
import { actionPatternFromString } from "./action.ts";
import { arnFromString, formatArn } from "./arn.ts";
import { formatPolicy, type PolicyDocument, type Statement } from "./document.ts";
import { checkSize } from "./source.ts";

/** A declared dependency. */
export interface Call {
  readonly service: string;
  readonly namespace: string;
  /** Actions of that service without its prefix: `GetItem`, `Get*`. Undefined for all of them; an empty list for none. */
  readonly actions?: readonly string[] | undefined;
}

/**
 * One Allow for each service called, on every resource of it, in an order that does not depend on that of `calls`.
 * Throws PolicyError: `invalid-arn` or `invalid-action` if a part is not a name, `too-large` if it makes no document.
 */
export function permissionsFromCalls(trustDomain: string, calls: readonly Call[]): PolicyDocument {
  const byResource = new Map<string, Set<string>>();
  for (const { service, namespace, actions = ["*"] } of calls) {
    const resource = formatArn({ service, trustDomain, namespace, resource: "*" });
    arnFromString(resource);
    const patterns = byResource.get(resource) ?? new Set();
    for (const name of actions) {
      const pattern = `${service}:${name}`;
      actionPatternFromString(pattern);
      patterns.add(pattern);
    }
    if (patterns.size > 0) byResource.set(resource, patterns);
  }
  const statements = [...byResource.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([resource, patterns]): Statement => {
      return {
        sid: undefined,
        effect: "Allow",
        principal: undefined,
        action: { negated: false, patterns: [...patterns].sort() },
        resource: { negated: false, patterns: [resource] },
        conditions: [],
      };
    });
  const document: PolicyDocument = { version: "2012-10-17", id: undefined, statements };
  checkSize(formatPolicy(document));
  return document;
}
