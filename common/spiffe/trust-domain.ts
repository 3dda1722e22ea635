/** The name of a trust domain (SPIFFE-ID 2.1): who vouches for an id. */
import { SpiffeIdError } from "./error.ts";

declare const brand: unique symbol;
export type TrustDomain = string & { readonly [brand]: "TrustDomain" };

const maxBytes = 255;
const characters = /^[a-z0-9._-]+$/;

/**
 * Takes the bare name, `prod.example`. Throws SpiffeIdError: `missing-trust-domain`, `trust-domain-too-long`,
 * `bad-trust-domain-character`.
 */
export function trustDomainFromString(name: string): TrustDomain {
  if (name === "") throw new SpiffeIdError("missing-trust-domain", "the trust domain is missing");
  // The characters allowed are a byte each, so length is bytes once they are checked; a longer text is too long either way.
  if (name.length > maxBytes) throw new SpiffeIdError("trust-domain-too-long", "a trust domain has at most 255 bytes");
  if (!characters.test(name)) {
    throw new SpiffeIdError(
      "bad-trust-domain-character",
      "a trust domain consists of lower-case letters, digits, dots, hyphens and underscores",
    );
  }
  return name as TrustDomain;
}
