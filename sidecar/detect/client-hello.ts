/**
 * The ClientHello at the start of a connection that the application encrypts itself: whom it wants to talk to (SNI) and in
 * which protocols (ALPN). The bytes are passed on as they came; this only reads them.
 *
 * Strict, because a decision hangs on the name: a message that two readers could take for two different names is malformed.
 * All the lengths have to fit each other exactly, no extension may come twice (RFC 8446 4.2), and the name has to be a host
 * name in the form of RFC 6066 3. With Encrypted ClientHello the name is that of the outer message, the only one there is to see.
 *
 * It does not check what a decision does not hang on: cipher suites, key shares, whether a server would go on with it.
 */
import { latin1 } from "../http1/latin1.ts";
import { createCursor, left, readNumber, readVector, skip, type Cursor } from "./cursor.ts";

export type ClientHello =
  | { readonly kind: "need-more" }
  /** The connection does not begin with a handshake record of TLS. */
  | { readonly kind: "not-tls" }
  | {
      readonly kind: "client-hello";
      /** A lower-case host name that is no address; empty if the client names none. */
      readonly serverName: string;
      /** In the client's order; a character a byte, any byte may occur. */
      readonly alpn: readonly string[];
    }
  | { readonly kind: "malformed"; readonly detail: string };

const recordHeader = 5;
const messageHeader = 4;
const longestRecord = 1 << 14;
/** Of the message without its header. With post-quantum key shares a usual one has 1.8 KiB. */
const longestMessage = 1 << 14;
/** So that bytes which come one at a time cost no more than these headers to look at again. */
const mostRecords = 64;

/** Nothing is undecided beyond this many bytes. */
export const longestClientHello = messageHeader + longestMessage + mostRecords * recordHeader;

const handshake = 0x16;
const clientHello = 1;
const needMore: ClientHello = { kind: "need-more" };
const notTls: ClientHello = { kind: "not-tls" };

/** `bytes` are all that have come, from the first. What is once decided stays the same however many more come. */
export function parseClientHello(bytes: Buffer): ClientHello {
  const gathered = gather(bytes);
  if (!Buffer.isBuffer(gathered)) return gathered;
  return readMessage(gathered);
}

function malformed(detail: string): ClientHello {
  return { kind: "malformed", detail };
}

/** The body of the message, taken out of its records (RFC 8446 5.1). */
function gather(bytes: Buffer): Buffer | ClientHello {
  if (bytes.length > 0 && bytes[0] !== handshake) return notTls;
  if (bytes.length > 1 && bytes[1] !== 3) return notTls;
  if (bytes.length > 2 && (bytes[2] ?? 0) > 4) return notTls;
  const fragments: Buffer[] = [];
  let gatheredBytes = 0;
  let wanted = messageHeader;
  let position = 0;
  for (let record = 0; gatheredBytes < wanted; record++) {
    const header = bytes.subarray(position, position + recordHeader);
    if (record > 0) {
      if (record === mostRecords && header.length > 0) return malformed(`more than ${mostRecords} records`);
      const [type = handshake, major = 3] = header;
      if (type !== handshake || major !== 3) return malformed("a record of another kind within the message");
    }
    if (header.length < recordHeader) return needMore;
    const length = header.readUInt16BE(3);
    if (length === 0 || length > longestRecord) return record === 0 ? notTls : malformed(`a record of ${length} bytes`);
    const fragment = bytes.subarray(position + recordHeader, position + recordHeader + length);
    position += recordHeader + length;
    if (record === 0 && fragment.length > 0 && fragment[0] !== clientHello) return notTls;
    fragments.push(fragment);
    gatheredBytes += fragment.length;
    if (wanted === messageHeader && gatheredBytes >= messageHeader) {
      const announced = Buffer.concat(fragments, messageHeader).readUIntBE(1, 3);
      if (announced > longestMessage) return malformed(`a message of ${announced} bytes`);
      wanted += announced;
    }
    if (gatheredBytes + (length - fragment.length) > wanted && wanted > messageHeader) {
      return malformed("another message in the same record");
    }
    if (fragment.length < length) return needMore;
  }
  const [only] = fragments;
  const message = only !== undefined && fragments.length === 1 ? only : Buffer.concat(fragments, gatheredBytes);
  return message.subarray(messageHeader);
}

/** RFC 8446 4.1.2; RFC 5246 7.4.1.2 for those before. */
function readMessage(message: Buffer): ClientHello {
  const cursor = createCursor(message);
  const version = readNumber(cursor, 2);
  if (version < 0x0301 || version > 0x0303) return malformed(`version 0x${version.toString(16)}`);
  skip(cursor, 32);
  if (left(readVector(cursor, 1)) > 32) return malformed("a session id of more than 32 bytes");
  const suites = left(readVector(cursor, 2));
  if (suites === 0 || suites % 2 !== 0) return malformed("a list of cipher suites that is none");
  const compression = readVector(cursor, 1);
  if (cursor.failed) return malformed("shorter than it says");
  if (!message.subarray(compression.at, compression.end).includes(0)) return malformed("no null compression");
  // Before TLS 1.3 a message may end here.
  if (left(cursor) === 0) return { kind: "client-hello", serverName: "", alpn: [] };
  const extensions = readVector(cursor, 2);
  if (cursor.failed || left(cursor) > 0) return malformed("extensions that do not end with the message");
  return readExtensions(extensions, message);
}

const serverNameExtension = 0;
const alpnExtension = 16;

function readExtensions(extensions: Cursor, message: Buffer): ClientHello {
  const seen = new Set<number>();
  let serverName: string | undefined = "";
  let alpn: readonly string[] | undefined = [];
  while (left(extensions) > 0) {
    const type = readNumber(extensions, 2);
    const data = readVector(extensions, 2);
    if (extensions.failed) return malformed("an extension that is longer than its list");
    if (seen.has(type)) return malformed(`extension ${type} twice`);
    seen.add(type);
    if (type === serverNameExtension) serverName = readServerName(data, message);
    else if (type === alpnExtension) alpn = readAlpn(data, message);
  }
  if (serverName === undefined) return malformed("a server name that is no host name");
  if (alpn === undefined) return malformed("a list of protocols that is none");
  return { kind: "client-hello", serverName, alpn };
}

/** RFC 6066 3: one name, of the only type there is. */
function readServerName(data: Cursor, message: Buffer): string | undefined {
  const list = readVector(data, 2);
  const type = readNumber(list, 1);
  const name = readVector(list, 2);
  if (name.failed || left(list) > 0 || left(data) > 0 || type !== 0) return undefined;
  const text = latin1(message, name.at, name.end).toLowerCase();
  return isHostName(text) ? text : undefined;
}

/** Underscores occur inside clusters. */
const hostName = /^(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/;
/** What resolvers take for an IPv4 address, `127.1` and `0x7f000001` among it, ends like this. */
const addressLike = /(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$/;

function isHostName(text: string): boolean {
  return text.length <= 253 && hostName.test(text) && !addressLike.test(text);
}

/** RFC 7301 3.1. */
function readAlpn(data: Cursor, message: Buffer): readonly string[] | undefined {
  const list = readVector(data, 2);
  if (list.failed || left(data) > 0 || left(list) === 0) return undefined;
  const protocols: string[] = [];
  while (left(list) > 0) {
    const protocol = readVector(list, 1);
    if (protocol.failed || left(protocol) === 0) return undefined;
    protocols.push(latin1(message, protocol.at, protocol.end));
  }
  return protocols;
}
