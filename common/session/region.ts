/**
 * The region of credential scopes where the Mesh names none: the trust domain, its dots made hyphens, because AWS SDKs
 * refuse a region with a dot.
 */
export function regionOfTrustDomain(trustDomain: string): string {
  return trustDomain.replaceAll(".", "-");
}
