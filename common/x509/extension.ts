/** Meanings of the extensions that the profiles judge (RFC 5280 4.2). Readers throw X509ProfileError or DerError. */
import { booleanOf, childrenOf, DerError, expectTag, namedBitsOf, oidOf, readDer, smallIntegerOf, Tag } from "./der.ts";
import type { Extension } from "./certificate.ts";
import { X509ProfileError } from "./error.ts";

export const ExtensionOid = {
  SUBJECT_KEY_IDENTIFIER: "2.5.29.14",
  KEY_USAGE: "2.5.29.15",
  SUBJECT_ALTERNATIVE_NAME: "2.5.29.17",
  BASIC_CONSTRAINTS: "2.5.29.19",
  AUTHORITY_KEY_IDENTIFIER: "2.5.29.35",
  EXTENDED_KEY_USAGE: "2.5.29.37",
} as const;

/** Bits of key usage, bit 0 of the definition being 1. */
export const KeyUsage = { DIGITAL_SIGNATURE: 1, KEY_CERT_SIGN: 32, CRL_SIGN: 64 } as const;

export const ExtendedKeyUsage = { SERVER_AUTH: "1.3.6.1.5.5.7.3.1", CLIENT_AUTH: "1.3.6.1.5.5.7.3.2" } as const;

/** A certificate, or a request for one. */
export interface Extended {
  readonly extensions: ReadonlyMap<string, Extension>;
}

/** Refuses critical extensions outside `ExtensionOid`: what they restrict would go unheeded. */
export function refuseUnknownCritical({ extensions }: Extended): void {
  const known: ReadonlySet<string> = new Set(Object.values(ExtensionOid));
  for (const [oid, { critical }] of extensions) {
    if (critical && !known.has(oid))
      throw new X509ProfileError("unknown-critical-extension", `critical extension ${oid} is not known here`);
  }
}

/** Undefined where the extension is absent, which means `cA` false. */
export function basicConstraintsOf({
  extensions,
}: Extended): { ca: boolean; pathLength: number | undefined; critical: boolean } | undefined {
  const extension = extensions.get(ExtensionOid.BASIC_CONSTRAINTS);
  if (extension === undefined) return undefined;
  const members = childrenOf(readDer(extension.value));
  const ca = members[0]?.tag === Tag.BOOLEAN;
  if (ca && !booleanOf(members.shift())) throw new DerError("value-encoding", "basic constraints spell out a default");
  const pathLength = members.length > 0 ? smallIntegerOf(members.shift()) : undefined;
  if (members.length > 0) throw new DerError("trailing-bytes", "bytes follow the basic constraints");
  return { ca, pathLength, critical: extension.critical };
}

/** Bits of `KeyUsage`. The extension has to be there and critical. */
export function keyUsageOf({ extensions }: Extended): number {
  const extension = extensions.get(ExtensionOid.KEY_USAGE);
  if (extension?.critical !== true) throw new X509ProfileError("key-usage", "there is no critical key usage");
  return namedBitsOf(readDer(extension.value));
}

/** Object identifiers of the purposes, or undefined where the extension is absent. */
export function extendedKeyUsageOf({ extensions }: Extended): string[] | undefined {
  const extension = extensions.get(ExtensionOid.EXTENDED_KEY_USAGE);
  return extension && childrenOf(readDer(extension.value)).map(oidOf);
}

/** uniformResourceIdentifier [6] IA5String. */
const URI_TAG = 0x86;

/**
 * The one URI that the subject alternative name consists of, and nothing beside it; undefined where the extension is absent.
 * Text is latin1: no byte that SPIFFE forbids can hide in a decoding.
 */
export function subjectUriOf({ extensions }: Extended): { uri: string; critical: boolean } | undefined {
  const extension = extensions.get(ExtensionOid.SUBJECT_ALTERNATIVE_NAME);
  if (extension === undefined) return undefined;
  const [name, ...rest] = childrenOf(readDer(extension.value));
  if (name?.tag !== URI_TAG || rest.length > 0) {
    throw new X509ProfileError("subject-alternative-name", "the subject alternative name is not exactly one URI");
  }
  return { uri: name.content.toString("latin1"), critical: extension.critical };
}

/** Lower-case hexadecimal, or undefined where the extension is absent. */
export function subjectKeyIdentifierOf({ extensions }: Extended): string | undefined {
  const extension = extensions.get(ExtensionOid.SUBJECT_KEY_IDENTIFIER);
  return extension && expectTag(readDer(extension.value), Tag.OCTET_STRING).content.toString("hex");
}

/** keyIdentifier [0] OCTET STRING. */
const KEY_IDENTIFIER_TAG = 0x80;

/** Lower-case hexadecimal, or undefined where the extension is absent or names the issuer in another way. */
export function authorityKeyIdentifierOf({ extensions }: Extended): string | undefined {
  const extension = extensions.get(ExtensionOid.AUTHORITY_KEY_IDENTIFIER);
  const identifier = extension && childrenOf(readDer(extension.value))[0];
  return identifier?.tag === KEY_IDENTIFIER_TAG ? identifier.content.toString("hex") : undefined;
}
