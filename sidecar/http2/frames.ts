/** Frame types, flags and sizes of RFC 9113 sections 4 and 6. */

export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  PRIORITY: 0x2,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
  /**
   * Between sidecars, and nobody else has to know it (RFC 9113 section 5.5): the channel binding of an older connection of the
   * same two, which goes on under the certificates of this one.
   */
  RENEWAL: 0xcc,
} as const;

export const FrameFlag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

export const FRAME_HEADER = 9;
export const LARGEST_WINDOW = 0x7fff_ffff;
export const LARGEST_STREAM_ID = 0x7fff_ffff;
export const DEFAULT_WINDOW = 65_535;
export const DEFAULT_FRAME_SIZE = 16_384;

/** What a client sends first (RFC 9113 section 3.4). */
export const clientPreface: Buffer = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

export function writeFrameHeader(bytes: Buffer, position: number, length: number, type: number, flags: number, streamId: number): void {
  bytes[position] = length >>> 16;
  bytes[position + 1] = length >>> 8;
  bytes[position + 2] = length;
  bytes[position + 3] = type;
  bytes[position + 4] = flags;
  writeUint32(bytes, position + 5, streamId);
}

export function writeUint32(bytes: Buffer, position: number, value: number): void {
  bytes[position] = value >>> 24;
  bytes[position + 1] = value >>> 16;
  bytes[position + 2] = value >>> 8;
  bytes[position + 3] = value;
}

export function readUint32(bytes: Buffer, position: number): number {
  return ((bytes[position]! << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!) >>> 0;
}

/** A stream id or a window increment: the first bit is reserved. */
export function readUint31(bytes: Buffer, position: number): number {
  return ((bytes[position]! & 0x7f) << 24) | (bytes[position + 1]! << 16) | (bytes[position + 2]! << 8) | bytes[position + 3]!;
}
