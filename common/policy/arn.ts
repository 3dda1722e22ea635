/**
 * Names of things in the mesh: `arn:mesh:<service>:<trust-domain>:<namespace>:<resource>`. AWS's form
 * (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html) with the trust domain where AWS has
 * the region and the namespace where it has the account.
 */
import { PolicyError } from "./error.ts";

export interface Arn {
  /** Name of a service, or `iam`, `sts`, `external`. */
  readonly service: string;
  readonly trustDomain: string;
  readonly namespace: string;
  /** Everything after the fifth colon; never empty. */
  readonly resource: string;
}

const prefix = "arn:mesh:";
const serviceName = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const trustDomainName = /^[a-z0-9._-]{1,255}$/;
const namespaceName = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
// AWS's alphabet for names of roles, with `/` between the parts of a path such as `service-linked/orders`.
const roleName = /^[\w+=,.@-]{1,128}(?:\/[\w+=,.@-]{1,128}){0,4}$/;
const sessionName = /^[\w+=,.@-]{2,64}$/;
const rolePrefix = "role/";
const sessionPrefix = "assumed-role/";

/** Parses an ARN. Throws PolicyError `invalid-arn`. */
export function arnFromString(text: string): Arn {
  const invalid = (problem: string): never => {
    throw new PolicyError("invalid-arn", `${JSON.stringify(text)} is not an ARN of the mesh: ${problem}`);
  };
  if (!text.startsWith(prefix)) return invalid("it does not begin with arn:mesh:");
  const [service, trustDomain, namespace, ...rest] = text.slice(prefix.length).split(":");
  const resource = rest.join(":");
  if (service === undefined || !serviceName.test(service)) return invalid("its service is malformed");
  if (trustDomain === undefined || !trustDomainName.test(trustDomain)) return invalid("its trust domain is malformed");
  if (namespace === undefined || !namespaceName.test(namespace)) return invalid("its namespace is malformed");
  if (resource === "") return invalid("it names no resource");
  return { service, trustDomain, namespace, resource };
}

export function formatArn(arn: Arn): string {
  return `${prefix}${arn.service}:${arn.trustDomain}:${arn.namespace}:${arn.resource}`;
}

/** A role: `arn:mesh:iam:prod.example:shop:role/checkout`. The name may have a path (`service-linked/orders`). */
export interface RoleName {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly role: string;
}

/** A role assumed by one caller: `arn:mesh:sts:prod.example:shop:assumed-role/checkout/<session>`. */
export interface SessionName extends RoleName {
  readonly session: string;
}

export function formatRoleArn({ trustDomain, namespace, role }: RoleName): string {
  return formatArn({ service: "iam", trustDomain, namespace, resource: rolePrefix + role });
}

export function formatSessionArn({ trustDomain, namespace, role, session }: SessionName): string {
  return formatArn({ service: "sts", trustDomain, namespace, resource: `${sessionPrefix}${role}/${session}` });
}

/** Parses the ARN of a role. Throws PolicyError `invalid-arn`. */
export function roleFromArn(text: string): RoleName {
  const { service, trustDomain, namespace, resource } = arnFromString(text);
  const role = resource.slice(rolePrefix.length);
  if (service !== "iam" || !resource.startsWith(rolePrefix) || !roleName.test(role)) {
    throw new PolicyError("invalid-arn", `${JSON.stringify(text)} is not the ARN of a role`);
  }
  return { trustDomain, namespace, role };
}

/** Parses the ARN of a session. Throws PolicyError `invalid-arn`. */
export function sessionFromArn(text: string): SessionName {
  const { service, trustDomain, namespace, resource } = arnFromString(text);
  const cut = resource.lastIndexOf("/");
  const role = resource.slice(sessionPrefix.length, Math.max(cut, sessionPrefix.length));
  const session = resource.slice(cut + 1);
  if (service !== "sts" || !resource.startsWith(sessionPrefix) || !roleName.test(role) || !sessionName.test(session)) {
    throw new PolicyError("invalid-arn", `${JSON.stringify(text)} is not the ARN of a session`);
  }
  return { trustDomain, namespace, role, session };
}
