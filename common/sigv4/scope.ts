/** The credential scope: the day, region and service that a signing key is good for. */
import { SigV4Error } from "./error.ts";

export interface CredentialScope {
  /** `yyyymmdd`, UTC. */
  readonly date: string;
  readonly region: string;
  /** `<service>.<namespace>` in the mesh, `sts` at the token service. */
  readonly service: string;
}

export const scopeTerminator = "aws4_request";

const day = /^\d{8}$/;
const scopeName = /^[A-Za-z0-9._-]{1,255}$/;

/**
 * Parses `yyyymmdd/region/service/aws4_request`. Throws SigV4Error: `malformed-authorization`, or `wrong-scope` when only
 * the terminator is another.
 */
export function parseScope(text: string): CredentialScope {
  const [date = "", region = "", service = "", terminator, ...rest] = text.split("/");
  if (terminator === undefined || rest.length > 0 || !day.test(date) || !scopeName.test(region) || !scopeName.test(service)) {
    throw new SigV4Error("malformed-authorization", "the credential scope is not date/region/service/aws4_request");
  }
  if (terminator !== scopeTerminator) throw new SigV4Error("wrong-scope", "the credential scope does not end in aws4_request");
  return { date, region, service };
}

export function formatScope(scope: CredentialScope): string {
  return `${scope.date}/${scope.region}/${scope.service}/${scopeTerminator}`;
}

/** Throws SigV4Error `wrong-scope` unless the scope is for that region and service. */
export function checkScope(scope: CredentialScope, region: string, service: string): void {
  if (scope.region !== region) throw new SigV4Error("wrong-scope", "the credential scope is for another region");
  if (scope.service !== service) throw new SigV4Error("wrong-scope", "the credential scope is for another service");
}
