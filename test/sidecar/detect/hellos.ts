/** ClientHellos, made by hand and captured from real clients. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { connect, type ConnectionOptions } from "node:tls";

const u8 = (value: number) => Buffer.of(value);
const u16 = (value: number) => Buffer.of(value >> 8, value & 255);
const vector8 = (bytes: Buffer) => Buffer.concat([u8(bytes.length), bytes]);
export const vector16 = (bytes: Buffer) => Buffer.concat([u16(bytes.length), bytes]);

export interface Extension {
  readonly type: number;
  readonly data: Buffer;
}

export function serverNameExtension(name: string | Buffer, type = 0): Extension {
  const bytes = typeof name === "string" ? Buffer.from(name, "latin1") : name;
  return { type: 0, data: vector16(Buffer.concat([u8(type), vector16(bytes)])) };
}

export function alpnExtension(protocols: readonly string[]): Extension {
  return { type: 16, data: vector16(Buffer.concat(protocols.map((protocol) => vector8(Buffer.from(protocol, "latin1"))))) };
}

export interface HelloParts {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly suites?: Buffer;
  readonly compression?: Buffer;
  /** Null for a message that ends before them. */
  readonly extensions?: readonly Extension[] | null;
}

/** The message without its header. */
export function helloBody({ version = 0x0303, sessionId, suites, compression, extensions = [] }: HelloParts): Buffer {
  const list = extensions?.map(({ type, data }) => Buffer.concat([u16(type), vector16(data)]));
  return Buffer.concat([
    u16(version),
    Buffer.alloc(32, 7),
    vector8(sessionId ?? Buffer.alloc(0)),
    vector16(suites ?? Buffer.of(0x13, 0x01)),
    vector8(compression ?? Buffer.of(0)),
    ...(list === undefined ? [] : [vector16(Buffer.concat(list))]),
  ]);
}

export function message(body: Buffer): Buffer {
  return Buffer.concat([u8(1), u8(body.length >> 16), u16(body.length & 0xffff), body]);
}

/** One record for each fragment. */
export function records(...fragments: readonly Buffer[]): Buffer {
  return Buffer.concat(fragments.map((fragment) => Buffer.concat([Buffer.of(0x16, 3, 1), vector16(fragment)])));
}

export const hello = (parts: HelloParts = {}) => records(message(helloBody(parts)));

/** What `start` sends to the port that it is given, before it hears anything. */
async function capture(start: (port: number) => void): Promise<Buffer> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  start((server.address() as AddressInfo).port);
  const [socket] = (await once(server, "connection")) as [Socket];
  const chunks: Buffer[] = [];
  for await (const chunk of socket) {
    chunks.push(chunk as Buffer);
    const bytes = Buffer.concat(chunks);
    if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break;
  }
  socket.destroy();
  server.close();
  return Buffer.concat(chunks);
}

export function fromNode(options: ConnectionOptions): Promise<Buffer> {
  return capture((port) => {
    const socket = connect({ ...options, port, host: "127.0.0.1", rejectUnauthorized: false });
    socket.on("error", () => {
      // The other end never answers.
    });
  });
}

/** `command` with `{port}` in its arguments filled in. Rejects if there is no such program. */
export function fromProgram(command: string, args: readonly string[]): Promise<Buffer> {
  const { promise, reject } = Promise.withResolvers<never>();
  const captured = capture((port) => {
    const child = spawn(
      command,
      args.map((argument) => argument.replaceAll("{port}", String(port))),
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    child.once("error", reject);
    void buffer(child.stdout);
  });
  return Promise.race([captured, promise]);
}
