/** DER of the extensions that the authority writes (RFC 5280 4.2). */
import { encode, encodeBoolean, encodeNamedBits, encodeOid, encodeSequence, encodeUnsigned } from "../../common/x509/der-write.ts";
import { Tag } from "../../common/x509/der.ts";
import { ExtensionOid } from "../../common/x509/extension.ts";

const URI_TAG = 0x86;
const KEY_IDENTIFIER_TAG = 0x80;
const critical = encodeBoolean(true);

function encodeExtension(oid: string, isCritical: boolean, value: Buffer): Buffer {
  const wrapped = encode(Tag.OCTET_STRING, value);
  return isCritical ? encodeSequence(encodeOid(oid), critical, wrapped) : encodeSequence(encodeOid(oid), wrapped);
}

/** Critical. `pathLength` undefined for a leaf. */
export function encodeBasicConstraints(pathLength: number | undefined): Buffer {
  const members = pathLength === undefined ? [] : [encodeBoolean(true), encodeUnsigned(Buffer.of(pathLength))];
  return encodeExtension(ExtensionOid.BASIC_CONSTRAINTS, true, encodeSequence(...members));
}

/** Critical. `bits` of `KeyUsage`. */
export function encodeKeyUsage(bits: number): Buffer {
  return encodeExtension(ExtensionOid.KEY_USAGE, true, encodeNamedBits(bits));
}

export function encodeExtendedKeyUsage(purposes: readonly string[]): Buffer {
  return encodeExtension(ExtensionOid.EXTENDED_KEY_USAGE, false, encodeSequence(...purposes.map(encodeOid)));
}

export function encodeSubjectKeyIdentifier(identifier: Buffer): Buffer {
  return encodeExtension(ExtensionOid.SUBJECT_KEY_IDENTIFIER, false, encode(Tag.OCTET_STRING, identifier));
}

export function encodeAuthorityKeyIdentifier(identifier: Buffer): Buffer {
  return encodeExtension(ExtensionOid.AUTHORITY_KEY_IDENTIFIER, false, encodeSequence(encode(KEY_IDENTIFIER_TAG, identifier)));
}

/** `isCritical` where the subject is empty (RFC 5280 4.2.1.6). */
export function encodeSubjectUri(uri: string, isCritical: boolean): Buffer {
  return encodeExtension(ExtensionOid.SUBJECT_ALTERNATIVE_NAME, isCritical, encodeSequence(encode(URI_TAG, Buffer.from(uri, "latin1"))));
}
