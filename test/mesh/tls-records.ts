/** TLS as it shows on the wire: its records, and what a ServerHello says in clear (RFC 8446). */

export interface TlsRecord {
  readonly type: number;
  readonly fragment: Buffer;
}

/** RFC 8446 5.1. */
export const ContentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;
const recordHeader = 5;
const largestFragment = 2 ** 14 + 256;

/** RFC 8446 5.1. The last may be cut. Throws where there is something that is no record. */
export function recordsOf(bytes: Buffer): TlsRecord[] {
  const records: TlsRecord[] = [];
  for (let at = 0; at + recordHeader <= bytes.length;) {
    const type = bytes.readUInt8(at);
    const length = bytes.readUInt16BE(at + 3);
    if (
      type < ContentType.changeCipherSpec ||
      type > ContentType.applicationData ||
      bytes.readUInt8(at + 1) !== 3 ||
      length > largestFragment
    )
      throw new Error(`no TLS record at byte ${at}: ${bytes.subarray(at, at + 64).toString("latin1")}`);
    records.push({ type, fragment: bytes.subarray(at + recordHeader, at + recordHeader + length) });
    at += recordHeader + length;
  }
  return records;
}

const serverHello = 2;

/** Extensions of a ServerHello by their type (RFC 8446 4.1.3). */
export function serverHelloExtensions(message: Buffer): Map<number, Buffer> {
  if (message.readUInt8(0) !== serverHello) throw new Error(`handshake message ${message.readUInt8(0)} is no ServerHello`);
  let at = 4 + 2 + 32;
  at += 1 + message.readUInt8(at);
  at += 2 + 1;
  const end = at + 2 + message.readUInt16BE(at);
  at += 2;
  const extensions = new Map<number, Buffer>();
  while (at < end) {
    const length = message.readUInt16BE(at + 2);
    extensions.set(message.readUInt16BE(at), message.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return extensions;
}

/** RFC 8446 4.2. */
export const Extension = { preSharedKey: 41, supportedVersions: 43, keyShare: 51 } as const;
/** supported_versions of a ServerHello of TLS 1.3. */
export const tls13 = "0304";
/** Its named group, and the length of a server's share: the ciphertext and the point. */
export const x25519MlKem768 = { group: 0x11ec, shareBytes: 1088 + 32 } as const;
