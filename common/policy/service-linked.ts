/** Permissions of service-linked roles: what a service declared that it calls, and no more. */
import { actionPatternFromString } from "./action.ts";
import { arnFromString, formatArn } from "./arn.ts";
import { connectAction, externalService } from "./external.ts";
import { formatPolicy, type PolicyDocument, type Statement } from "./document.ts";
import { checkSize } from "./source.ts";

/** A declared dependency: a service of the mesh, or a host outside of it. */
export type Call = ServiceCall | ExternalCall;

export interface ExternalCall {
  /** As in the resource part of an ARN: `api.stripe.com`, `*.example.com`. */
  readonly external: string;
  /** The caller's: there a host outside the mesh has its name. */
  readonly namespace: string;
}

export interface ServiceCall {
  readonly service: string;
  readonly namespace: string;
  /** Actions of that service without its prefix: `GetItem`, `Get*`. Undefined for all of them; an empty list for none. */
  readonly actions?: readonly string[] | undefined;
}

/**
 * One Allow for each service called, on every resource of it, and for each host, in an order that does not depend on that of `calls`.
 * Throws PolicyError: `invalid-arn` or `invalid-action` if a part is not a name, `too-large` if it makes no document.
 */
export function permissionsFromCalls(trustDomain: string, calls: readonly Call[]): PolicyDocument {
  const byResource = new Map<string, Set<string>>();
  for (const call of calls) {
    const { service, resource: name, actions } = targetOf(call);
    const resource = formatArn({ service, trustDomain, namespace: call.namespace, resource: name });
    arnFromString(resource);
    const patterns = byResource.get(resource) ?? new Set();
    for (const action of actions) {
      const pattern = `${service}:${action}`;
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

function targetOf(call: Call): { readonly service: string; readonly resource: string; readonly actions: readonly string[] } {
  if ("external" in call) return { service: externalService, resource: call.external, actions: [connectAction] };
  return { service: call.service, resource: "*", actions: call.actions ?? ["*"] };
}
