/** The SPIFFE bundle document: a JWK set that carries X.509 authorities (SPIFFE Trust Domain and Bundle 4 and 5). */
import { createTrustBundle } from "./bundle.ts";
import type { TrustBundle } from "./bundle.ts";
import { X509ProfileError } from "./error.ts";
import type { TrustDomain } from "../spiffe/trust-domain.ts";

export interface BundleDocument {
  readonly bundle: TrustBundle;
  /** Rises with every change of the bundle; 0 where the document names none. */
  readonly sequence: number;
  /** How often to look for a newer one; 0 where the document names no interval. */
  readonly refreshHintSeconds: number;
}

const MAX_DOCUMENT_CHARACTERS = 1_048_576;
const X509_SVID_USE = "x509-svid";

/** JSON text. Each key has `use` `x509-svid`, its public members and one certificate in `x5c`; no `kid`, as the specification asks. */
export function bundleDocumentToJson({ bundle, sequence, refreshHintSeconds }: BundleDocument): string {
  const keys = bundle.authorities.map(({ der, key }) => ({
    ...key.export({ format: "jwk" }),
    use: X509_SVID_USE,
    x5c: [der.toString("base64")],
  }));
  return JSON.stringify({ keys, spiffe_sequence: sequence, spiffe_refresh_hint: refreshHintSeconds });
}

function refuse(message: string, cause?: unknown): never {
  throw new X509ProfileError("bundle", message, { cause });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function countOf(document: Record<string, unknown>, name: string): number {
  const value = Object.hasOwn(document, name) ? document[name] : 0;
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) refuse(`${name} is not a whole number`);
  return value;
}

function authorityOf(key: Record<string, unknown>): Buffer {
  const chain: unknown = key["x5c"];
  const certificate: unknown = Array.isArray(chain) && chain.length === 1 ? chain[0] : undefined;
  if (typeof certificate !== "string") refuse("an x509-svid key does not have exactly one certificate in x5c");
  const der = Buffer.from(certificate, "base64");
  if (der.toString("base64") !== certificate) refuse("an x5c certificate is not base64");
  return der;
}

/**
 * Reads a document of `trustDomain`. Keys of other uses (JWT-SVID authorities, unknown ones) are passed over; a malformed X.509 authority
 * refuses the whole document, so that a bad update never replaces a good bundle in part. Throws X509ProfileError.
 */
export function bundleDocumentFromJson(trustDomain: TrustDomain, json: string): BundleDocument {
  if (json.length > MAX_DOCUMENT_CHARACTERS) refuse("the document is over 1 MiB");
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch (error) {
    refuse("the document is not JSON", error);
  }
  if (!isRecord(document) || !Array.isArray(document["keys"])) refuse("the document has no list of keys");
  const keys = document["keys"].map((key: unknown) => (isRecord(key) ? key : refuse("a key is not an object")));
  const bundle = createTrustBundle(trustDomain, keys.filter((key) => key["use"] === X509_SVID_USE).map(authorityOf));
  for (const [index, key] of keys.filter((key) => key["use"] === X509_SVID_USE).entries()) {
    const certified = bundle.authorities[index]?.key.export({ format: "jwk" });
    if (certified === undefined || Object.entries(certified).some(([name, value]) => key[name] !== value)) {
      refuse("a key is not that of its certificate");
    }
  }
  return { bundle, sequence: countOf(document, "spiffe_sequence"), refreshHintSeconds: countOf(document, "spiffe_refresh_hint") };
}
