/** Takes an X.509 v3 certificate apart (RFC 5280 4.1), strictly and without judging whose it is: the profiles do that. */
import { isAscii, isUtf8 } from "node:buffer";
import {
  booleanOf,
  childrenOf,
  DerError,
  encodedOf,
  expectTag,
  integerOf,
  octetsOfBitString,
  readDer,
  smallIntegerOf,
  Tag,
  timeOf,
  oidOf,
} from "./der.ts";
import type { DerNode } from "./der.ts";
import { X509ProfileError } from "./error.ts";
import { checkPublicKey } from "./public-key.ts";
import type { KeyKind } from "./public-key.ts";
import { signatureAlgorithmOf } from "./signature-algorithm.ts";
import type { SignatureAlgorithm } from "./signature-algorithm.ts";

export interface Extension {
  readonly critical: boolean;
  /** DER within the extension's OCTET STRING. */
  readonly value: Buffer;
}

/** Buffers are views of `der`. */
export interface Certificate {
  readonly der: Buffer;
  /** What the signature is over. */
  readonly signed: Buffer;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly signature: Buffer;
  /** Lower-case hexadecimal, two digits an octet, as encoded. */
  readonly serial: string;
  /** Name, as encoded. */
  readonly issuer: Buffer;
  /** Name, as encoded. */
  readonly subject: Buffer;
  /** Seconds since 1970. */
  readonly notBefore: number;
  /** Seconds since 1970; the last second of validity. */
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, as encoded. */
  readonly publicKey: Buffer;
  readonly keyKind: KeyKind;
  readonly extensions: ReadonlyMap<string, Extension>;
}

/** Far over any real chain member, far under what costs anything to read. */
export const MAX_CERTIFICATE_BYTES = 16_384;

const VERSION_3 = 2;
const VERSION_TAG = 0xa0;
const EXTENSIONS_TAG = 0xa3;

const ASCII_STRINGS: ReadonlySet<number> = new Set([Tag.PRINTABLE_STRING, Tag.IA5_STRING]);

/** RFC 5280 4.1.2.4, without the string types that it keeps for old certificates. */
function checkAttribute(attribute: DerNode): void {
  const [type, value, ...rest] = childrenOf(attribute);
  oidOf(type);
  const wellFormed =
    value !== undefined && (value.tag === Tag.UTF8_STRING ? isUtf8(value.content) : ASCII_STRINGS.has(value.tag) && isAscii(value.content));
  if (!wellFormed || rest.length > 0) throw new DerError("value-encoding", "a name's attribute is malformed");
}

function checkName(name: DerNode | undefined): Buffer {
  for (const relative of childrenOf(name)) {
    const attributes = childrenOf(relative, Tag.SET);
    if (attributes.length === 0) throw new DerError("value-encoding", "a name has an empty part");
    for (const attribute of attributes) checkAttribute(attribute);
  }
  return encodedOf(expectTag(name, Tag.SEQUENCE));
}

function readSerial(node: DerNode | undefined): string {
  const serial = integerOf(node);
  // RFC 5280 4.1.2.2.
  if (serial[0]! > 0x7f || serial.length > 20 || (serial.length === 1 && serial[0] === 0)) {
    throw new X509ProfileError("serial", "the serial number is not a positive number of at most 20 octets");
  }
  return serial.toString("hex");
}

/** Reads `Extensions` (RFC 5280 4.1), by object identifier. Throws X509ProfileError or DerError. */
export function readExtensions(list: DerNode | undefined): Map<string, Extension> {
  const extensions = new Map<string, Extension>();
  for (const extension of childrenOf(list)) {
    const members = childrenOf(extension);
    const oid = oidOf(members[0]);
    const critical = members.length === 3 && booleanOf(members[1]);
    if (members.length !== (critical ? 3 : 2)) throw new DerError("value-encoding", "an extension is malformed, or spells out a default");
    if (extensions.has(oid)) throw new X509ProfileError("duplicate-extension", `extension ${oid} occurs twice`);
    extensions.set(oid, { critical, value: expectTag(members[members.length - 1], Tag.OCTET_STRING).content });
  }
  if (extensions.size === 0) throw new DerError("value-encoding", "the list of extensions is empty");
  return extensions;
}

function readSigned(der: Buffer, signed: DerNode, outerAlgorithm: DerNode, signature: Buffer): Certificate {
  const [version, serial, algorithm, issuer, validity, subject, publicKey, extensions, ...rest] = childrenOf(signed);
  if (version?.tag !== VERSION_TAG) throw new X509ProfileError("version", "not a certificate of version 3");
  const [versionNumber, ...versionRest] = childrenOf(version, VERSION_TAG);
  if (smallIntegerOf(versionNumber) !== VERSION_3 || versionRest.length > 0) {
    throw new X509ProfileError("version", "not a certificate of version 3");
  }
  if (!expectTag(algorithm, Tag.SEQUENCE).content.equals(outerAlgorithm.content)) {
    throw new X509ProfileError("signature-algorithm", "the signed and the outer signature algorithm differ");
  }
  const [notBeforeNode, notAfterNode, ...validityRest] = childrenOf(validity);
  const [notBefore, notAfter] = [timeOf(notBeforeNode), timeOf(notAfterNode)];
  if (validityRest.length > 0 || notBefore > notAfter) throw new X509ProfileError("validity", "the validity ends before it starts");
  // Unique ids would stand where the extensions do: RFC 5280 4.1.2.8 forbids them.
  const [extensionList, ...extensionRest] = childrenOf(extensions, EXTENSIONS_TAG);
  if (rest.length > 0 || extensionRest.length > 0) throw new DerError("trailing-bytes", "bytes follow the extensions");
  const key = expectTag(publicKey, Tag.SEQUENCE);
  return {
    der,
    signed: encodedOf(signed),
    signatureAlgorithm: signatureAlgorithmOf(outerAlgorithm),
    signature,
    serial: readSerial(serial),
    issuer: checkName(issuer),
    subject: checkName(subject),
    notBefore,
    notAfter,
    publicKey: encodedOf(key),
    keyKind: checkPublicKey(key).kind,
    extensions: readExtensions(extensionList),
  };
}

/** Runs a reader, turning what it finds malformed into X509ProfileError `malformed`. */
export function asProfileError<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerError)
      throw new X509ProfileError("malformed", `not a well-formed certificate: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Reads one DER certificate with nothing after it. Throws X509ProfileError. */
export function readCertificate(der: Buffer): Certificate {
  if (der.length > MAX_CERTIFICATE_BYTES) throw new X509ProfileError("malformed", "a certificate is over 16 KiB");
  return asProfileError(() => {
    const [signed, algorithm, signature, ...rest] = childrenOf(readDer(der));
    if (rest.length > 0) throw new DerError("trailing-bytes", "a certificate has more than three members");
    return readSigned(der, expectTag(signed, Tag.SEQUENCE), expectTag(algorithm, Tag.SEQUENCE), octetsOfBitString(signature));
  });
}
