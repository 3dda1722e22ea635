/** SETTINGS (RFC 9113 section 6.5, RFC 8441 section 3): ours as bytes, the peer's checked and kept. */
import { Http2Error } from "./error.ts";
import {
  DEFAULT_FRAME_SIZE,
  DEFAULT_WINDOW,
  FRAME_HEADER,
  FrameType,
  LARGEST_WINDOW,
  readUint32,
  writeFrameHeader,
  writeUint32,
} from "./frames.ts";
import type { Http2Limits } from "./limits.ts";

export const SettingId = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
  MAX_FRAME_SIZE: 0x5,
  MAX_HEADER_LIST_SIZE: 0x6,
  ENABLE_CONNECT_PROTOCOL: 0x8,
} as const;

const SETTING_BYTES = 6;

/** What the peer has told us, with the RFC's initial values until it does. */
export interface PeerSettings {
  headerTableSize: number;
  /** Smallest value since `applyPeerSettings` was last called. */
  lowestTableSize: number;
  maxConcurrentStreams: number;
  initialWindow: number;
  maxFrameSize: number;
  extendedConnect: boolean;
}

export function initialPeerSettings(): PeerSettings {
  return {
    headerTableSize: 4096,
    lowestTableSize: 4096,
    // The RFC sets no limit until the peer's SETTINGS arrive; more than a hundred would only be refused by most.
    maxConcurrentStreams: 100,
    initialWindow: DEFAULT_WINDOW,
    maxFrameSize: DEFAULT_FRAME_SIZE,
    extendedConnect: false,
  };
}

/** Our SETTINGS frame. */
export function settingsFrame(limits: Http2Limits, server: boolean): Buffer {
  const settings: [number, number][] = [
    [SettingId.HEADER_TABLE_SIZE, limits.headerTableSize],
    [SettingId.INITIAL_WINDOW_SIZE, limits.streamWindow],
    [SettingId.MAX_FRAME_SIZE, limits.frameSize],
    [SettingId.MAX_HEADER_LIST_SIZE, limits.headerListSize],
  ];
  if (server) {
    settings.push([SettingId.MAX_CONCURRENT_STREAMS, limits.concurrentStreams]);
    if (limits.extendedConnect) settings.push([SettingId.ENABLE_CONNECT_PROTOCOL, 1]);
  } else settings.push([SettingId.ENABLE_PUSH, 0]);
  const length = settings.length * SETTING_BYTES;
  const frame = Buffer.alloc(FRAME_HEADER + length);
  writeFrameHeader(frame, 0, length, FrameType.SETTINGS, 0, 0);
  for (const [index, [id, value]] of settings.entries()) {
    const position = FRAME_HEADER + index * SETTING_BYTES;
    frame.writeUInt16BE(id, position);
    writeUint32(frame, position + 2, value);
  }
  return frame;
}

/**
 * Takes the settings in `bytes[start..end)` over into `peer`, in their order; `server` is our own role. Unknown ones and
 * SETTINGS_MAX_HEADER_LIST_SIZE, which is advice, are ignored. Throws Http2Error with the code that RFC 9113 section 6.5.2 names for a bad value.
 */
export function applyPeerSettings(peer: PeerSettings, bytes: Buffer, start: number, end: number, server: boolean): void {
  if ((end - start) % SETTING_BYTES !== 0) throw new Http2Error("FRAME_SIZE_ERROR", "a SETTINGS frame has a broken length");
  peer.lowestTableSize = Infinity;
  for (let position = start; position < end; position += SETTING_BYTES) {
    const value = readUint32(bytes, position + 2);
    switch (bytes.readUInt16BE(position)) {
      case SettingId.HEADER_TABLE_SIZE:
        peer.headerTableSize = value;
        peer.lowestTableSize = Math.min(peer.lowestTableSize, value);
        break;
      case SettingId.ENABLE_PUSH:
        // A server is not pushed to: only a client may say 1 (RFC 9113 section 6.5.2).
        if (value > (server ? 1 : 0)) throw new Http2Error("PROTOCOL_ERROR", "SETTINGS_ENABLE_PUSH is out of range");
        break;
      case SettingId.MAX_CONCURRENT_STREAMS:
        peer.maxConcurrentStreams = value;
        break;
      case SettingId.INITIAL_WINDOW_SIZE:
        if (value > LARGEST_WINDOW) throw new Http2Error("FLOW_CONTROL_ERROR", "SETTINGS_INITIAL_WINDOW_SIZE is out of range");
        peer.initialWindow = value;
        break;
      case SettingId.MAX_FRAME_SIZE:
        if (value < DEFAULT_FRAME_SIZE || value > 0xff_ffff)
          throw new Http2Error("PROTOCOL_ERROR", "SETTINGS_MAX_FRAME_SIZE is out of range");
        peer.maxFrameSize = value;
        break;
      case SettingId.ENABLE_CONNECT_PROTOCOL:
        if (value > 1 || (value === 0 && peer.extendedConnect)) {
          throw new Http2Error("PROTOCOL_ERROR", "SETTINGS_ENABLE_CONNECT_PROTOCOL is out of range or withdrawn");
        }
        peer.extendedConnect = value === 1;
        break;
      default:
        break;
    }
  }
}
