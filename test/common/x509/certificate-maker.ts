/** Makes certificates of any shape, so that tests can ask what becomes of the bad ones. Whatever is not overridden is a good leaf. */
import { generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { encode, encodeBitString, encodeBoolean, encodeOid, encodeSequence, encodeTime } from "../../../common/x509/der-write.ts";
import { Tag } from "../../../common/x509/der.ts";

export const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");
export const newKeys = () => generateKeyPairSync("ec", { namedCurve: "P-256" });

/** 2026-07-01T00:00:00Z. */
export const NOW = 1_782_864_000;
export const ECDSA_SHA256 = hex("300a06082a8648ce3d040302");
export const EMPTY = hex("3000");

export function name(commonName: string): Buffer {
  return encodeSequence(encode(Tag.SET, encodeSequence(encodeOid("2.5.4.3"), encode(Tag.UTF8_STRING, Buffer.from(commonName)))));
}

export function extension(oid: string, critical: boolean, value: Buffer): Buffer {
  return encodeSequence(encodeOid(oid), ...(critical ? [encodeBoolean(true)] : []), encode(Tag.OCTET_STRING, value));
}

const uriName = (uri: string | Buffer) => encode(0x86, Buffer.from(uri));
export const dnsName = (dns: string) => encode(0x82, Buffer.from(dns));

export const Ext = {
  ski: (id: Buffer) => extension("2.5.29.14", false, encode(Tag.OCTET_STRING, id)),
  aki: (id: Buffer) => extension("2.5.29.35", false, encodeSequence(encode(0x80, id))),
  keyUsage: (bits: string, critical = true) => extension("2.5.29.15", critical, hex(bits)),
  basic: (value: string, critical = true) => extension("2.5.29.19", critical, hex(value)),
  purposes: (...oids: string[]) => extension("2.5.29.37", false, encodeSequence(...oids.map(encodeOid))),
  names: (critical: boolean, ...names: Buffer[]) => extension("2.5.29.17", critical, encodeSequence(...names)),
  uri: (...uris: (string | Buffer)[]) => Ext.names(true, ...uris.map(uriName)),
};

export const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
export const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
export const LEAF_ID = "spiffe://mesh.example/ns/shop/sa/orders";
const ISSUER_KEY_ID = Buffer.alloc(20, 0xaa);

/** Extensions of a good leaf; undefined leaves one out. */
export function leafExtensions(overrides: Record<string, Buffer | undefined> = {}): Buffer[] {
  const good: Record<string, Buffer | undefined> = {
    basic: Ext.basic("3000"),
    keyUsage: Ext.keyUsage("03020780"),
    purposes: Ext.purposes(SERVER_AUTH, CLIENT_AUTH),
    ski: Ext.ski(Buffer.alloc(20, 0xbb)),
    aki: Ext.aki(ISSUER_KEY_ID),
    san: Ext.uri(LEAF_ID),
  };
  return Object.values({ ...good, ...overrides }).filter((one) => one !== undefined);
}

export interface Parts {
  readonly version: Buffer | undefined;
  readonly serial: Buffer;
  readonly algorithm: Buffer;
  readonly outerAlgorithm: Buffer;
  readonly issuer: Buffer;
  readonly validity: Buffer;
  readonly subject: Buffer;
  readonly publicKey: Buffer;
  /** Stand between key and extensions. */
  readonly uniqueIds: Buffer;
  readonly extensions: readonly Buffer[] | undefined;
  readonly signingKey: KeyObject;
}

const someKeys = newKeys();

export const validity = (notBefore: number, notAfter: number) => encodeSequence(encodeTime(notBefore), encodeTime(notAfter));

/** DER of a certificate: a good leaf but for `overrides`. */
export function makeCertificate(overrides: Partial<Parts> = {}): Buffer {
  const algorithm = overrides.algorithm ?? ECDSA_SHA256;
  const parts: Parts = {
    version: hex("a003020102"),
    serial: hex("020101"),
    algorithm,
    outerAlgorithm: algorithm,
    issuer: name("Issuer"),
    validity: validity(NOW - 60, NOW + 3600),
    subject: EMPTY,
    publicKey: someKeys.publicKey.export({ format: "der", type: "spki" }),
    uniqueIds: Buffer.alloc(0),
    extensions: leafExtensions(),
    signingKey: someKeys.privateKey,
    ...overrides,
  };
  const extensions = parts.extensions === undefined ? Buffer.alloc(0) : encode(0xa3, encodeSequence(...parts.extensions));
  const { version, serial, issuer, subject, publicKey, uniqueIds } = parts;
  const signed = encodeSequence(
    version ?? Buffer.alloc(0),
    serial,
    parts.algorithm,
    issuer,
    parts.validity,
    subject,
    publicKey,
    uniqueIds,
    extensions,
  );
  return encodeSequence(signed, parts.outerAlgorithm, encodeBitString(sign("sha256", signed, parts.signingKey)));
}

export interface MadeAuthority {
  readonly der: Buffer;
  readonly subject: Buffer;
  readonly keyId: Buffer;
  readonly privateKey: KeyObject;
}

export interface AuthorityShape {
  readonly commonName?: string;
  readonly issuer?: MadeAuthority;
  /** `BasicConstraints`, hexadecimal. */
  readonly constraints?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly extensions?: Record<string, Buffer | undefined>;
  readonly keys?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject };
}

let made = 0;

/** An authority of `mesh.example` that signs itself, or is signed by `issuer`. */
export function makeAuthority(shape: AuthorityShape = {}): MadeAuthority {
  const keys = shape.keys ?? newKeys();
  const keyId = Buffer.alloc(20, ++made);
  const subject = name(shape.commonName ?? `Authority ${made}`);
  const extensions: Record<string, Buffer | undefined> = {
    basic: Ext.basic(shape.constraints ?? "30030101ff"),
    keyUsage: Ext.keyUsage("03020106"),
    ski: Ext.ski(keyId),
    aki: Ext.aki(shape.issuer?.keyId ?? keyId),
    ...shape.extensions,
  };
  const der = makeCertificate({
    issuer: shape.issuer?.subject ?? subject,
    subject,
    validity: validity(shape.notBefore ?? NOW - 3600, shape.notAfter ?? NOW + 86_400),
    publicKey: keys.publicKey.export({ format: "der", type: "spki" }),
    extensions: Object.values(extensions).filter((one) => one !== undefined),
    signingKey: shape.issuer?.privateKey ?? keys.privateKey,
  });
  return { der, subject, keyId, privateKey: keys.privateKey };
}

/** A good leaf signed by `issuer`, but for `overrides`. */
export function makeLeaf(issuer: MadeAuthority, overrides: Partial<Parts> & { readonly id?: string } = {}): Buffer {
  const { id, ...parts } = overrides;
  const extensions = leafExtensions({ aki: Ext.aki(issuer.keyId), ...(id === undefined ? {} : { san: Ext.uri(id) }) });
  return makeCertificate({ issuer: issuer.subject, signingKey: issuer.privateKey, extensions, ...parts });
}
