/** Numbers and vectors one after the other, as TLS writes them (RFC 8446 3). A read past the end fails, and so does every later one. */
export interface ByteReader {
  readonly left: number;
  readonly failed: boolean;
  /** A big-endian number of that many bytes; 0 once failed. */
  number(bytes: 1 | 2): number;
  /** The next bytes, not copied; empty once failed. */
  take(bytes: number): Buffer;
  /** What follows a length of that many bytes. */
  vector(lengthBytes: 1 | 2): Buffer;
}

const nothing = Buffer.alloc(0);

export function createByteReader(bytes: Buffer): ByteReader {
  let position = 0;
  let failed = false;

  function take(count: number): Buffer {
    if (failed || bytes.length - position < count) {
      failed = true;
      return nothing;
    }
    position += count;
    return bytes.subarray(position - count, position);
  }
  function number(count: 1 | 2): number {
    const taken = take(count);
    return failed ? 0 : taken.readUIntBE(0, count);
  }
  return {
    get left() {
      return failed ? 0 : bytes.length - position;
    },
    get failed() {
      return failed;
    },
    number,
    take,
    vector: (lengthBytes) => take(number(lengthBytes)),
  };
}
