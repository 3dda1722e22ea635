/** WebSocket by hand (RFC 6455): frames, a server on node:http that says what came, and a client's handshake over a socket. */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { addressOf } from "./clients.ts";

export const Opcode = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

const mask = Buffer.from([0x12, 0x34, 0x56, 0x78]);

function masked(payload: Buffer): Buffer {
  return Buffer.from(payload.map((byte, index) => byte ^ mask.readUInt8(index % 4)));
}

/** One whole message or control frame; clients mask theirs. */
export function frame(opcode: number, payload: Buffer | string, from: "client" | "server"): Buffer {
  const bytes = Buffer.from(payload);
  const bit = from === "client" ? 0x80 : 0;
  const head = Buffer.alloc(bytes.length < 126 ? 2 : bytes.length < 65_536 ? 4 : 10);
  head.writeUInt8(0x80 | opcode, 0);
  if (bytes.length < 126) head.writeUInt8(bit | bytes.length, 1);
  else if (bytes.length < 65_536) {
    head.writeUInt8(bit | 126, 1);
    head.writeUInt16BE(bytes.length, 2);
  } else {
    head.writeUInt8(bit | 127, 1);
    head.writeBigUInt64BE(BigInt(bytes.length), 2);
  }
  return from === "client" ? Buffer.concat([head, mask, masked(bytes)]) : Buffer.concat([head, bytes]);
}

export function closeFrame(code: number, reason: string, from: "client" | "server"): Buffer {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(code);
  return frame(Opcode.close, Buffer.concat([payload, Buffer.from(reason)]), from);
}

/** Calls `onFrame` for every frame that `stream` brings, in pieces or not. */
export function readFrames(stream: Duplex, onFrame: (frame: Frame) => void): void {
  let bytes = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    for (;;) {
      if (bytes.length < 2) return;
      const second = bytes.readUInt8(1);
      const short = second & 0x7f;
      const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
      const maskBytes = second & 0x80 ? 4 : 0;
      const start = 2 + lengthBytes + maskBytes;
      if (bytes.length < start) return;
      const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
      if (bytes.length < start + length) return;
      const key = bytes.subarray(start - maskBytes, start);
      let payload = Buffer.from(bytes.subarray(start, start + length));
      if (maskBytes > 0) payload = Buffer.from(payload.map((byte, index) => byte ^ key.readUInt8(index % 4)));
      const opcode = bytes.readUInt8(0) & 0x0f;
      bytes = bytes.subarray(start + length);
      onFrame({ opcode, payload });
    }
  });
}

export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** 101 for a request that offers WebSocket; `lines` are further header lines. */
export function switchToWebSocket(request: IncomingMessage, lines: readonly string[] = []): string {
  const accept = acceptOf(request.headers["sec-websocket-key"] ?? "");
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`;
}

/** Echoes messages, answers pings, and answers a close by the same code. */
export function echoFrames(socket: Duplex, onFrame: (frame: Frame) => void): void {
  readFrames(socket, (received) => {
    onFrame(received);
    const { opcode, payload } = received;
    if (opcode === Opcode.text || opcode === Opcode.binary) socket.write(frame(opcode, payload, "server"));
    else if (opcode === Opcode.ping) socket.write(frame(Opcode.pong, payload, "server"));
    else if (opcode === Opcode.close) socket.end(frame(Opcode.close, payload, "server"));
  });
}

export const sampleKey = "dGhlIHNhbXBsZSBub25jZQ==";
/** What RFC 6455 1.3 says of that key. */
export const sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

export interface Opened {
  readonly socket: Socket;
  readonly status: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
}

/** Sends `head`, lines without their ends, and resolves with the head that comes back; what follows it is left to be read. */
export async function openByHand(address: string, lines: readonly string[], behind: Buffer = Buffer.alloc(0)): Promise<Opened> {
  const { promise, resolve, reject } = Promise.withResolvers<Opened>();
  const { host, port } = addressOf(address);
  const socket = connect({ host, port, allowHalfOpen: true });
  socket.once("error", reject);
  socket.write(Buffer.concat([Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1"), behind]));
  let bytes = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", onData);
    socket.pause();
    if (bytes.length > end + 4) socket.unshift(bytes.subarray(end + 4));
    const [first = "", ...fields] = bytes.toString("latin1", 0, end).split("\r\n");
    const headers = new Map(
      fields.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()] as const),
    );
    resolve({ socket, status: Number(first.split(" ")[1]), headers });
  };
  socket.on("data", onData);
  socket.once("close", () => reject(new Error(`closed before an answer: ${bytes.toString("latin1")}`)));
  return await promise;
}

/** The request of a WebSocket handshake. */
export function handshake(host: string, path = "/", lines: readonly string[] = []): readonly string[] {
  const fixed = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", `Sec-WebSocket-Key: ${sampleKey}`];
  return [`GET ${path} HTTP/1.1`, `Host: ${host}`, ...fixed, ...lines];
}
