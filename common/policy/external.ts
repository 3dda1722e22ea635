/**
 * Calls that leave the mesh, in the words of policies: the action `external:Connect` on
 * `arn:mesh:external:<trust-domain>:<namespace>:<host>`.
 *
 * The namespace is the caller's. A host belongs to nobody in the mesh, and its name must not depend on who lists it as an
 * `ExternalService`: to list it anew elsewhere would be a way round a Deny.
 */
import { formatArn } from "./arn.ts";

/** In place of a service's name; no service of the mesh can have it. */
export const externalService = "external";
/** What comes behind the colon of the only action there is. */
export const connectAction = "Connect";
export const externalConnect = `${externalService}:${connectAction}`;

/** `host`: a lower-case name without trailing dot, or an IP address where no name is known. */
export function formatHostArn(trustDomain: string, namespace: string, host: string): string {
  return formatArn({ service: externalService, trustDomain, namespace, resource: host });
}
