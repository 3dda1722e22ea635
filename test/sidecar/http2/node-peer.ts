/** What Node's own HTTP/2 (nghttp2, through node:http2) hears in the same bytes: whole frames, lawful or not. */
import { once } from "node:events";
import * as http2 from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errorCodeFromWire, errorName, type Http2ErrorName } from "../../../sidecar/http2/error.ts";
import { FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import { ping, type Frame } from "./wire.ts";

export type Pairs = (readonly [name: string, value: string])[];

/** One direction of a stream, as a peer hears it. */
export interface HeardStream {
  /** Pseudo-fields, those of a request with `host` where `:authority` is missing. */
  head: Readonly<Record<string, string>>;
  fields: Pairs;
  /** 1xx before it. */
  hints: number[];
  body: string;
  trailers: Pairs;
  /** It was heard to its end. */
  ended: boolean;
  reset: Http2ErrorName | undefined;
}

export interface HeardConnection {
  readonly streams: Map<number, HeardStream>;
  /** The code the connection ended with, if it did. */
  fatal: Http2ErrorName | undefined;
  /** How many of the parts it was given it went on after. */
  survived: number;
}

export function unheard(): HeardStream {
  return { head: {}, fields: [], hints: [], body: "", trailers: [], ended: false, reset: undefined };
}

/** What our own server says of itself, so that the same bytes are lawful towards both. */
const settings: http2.Settings = {
  headerTableSize: 65_536,
  initialWindowSize: 262_144,
  maxConcurrentStreams: 256,
  maxHeaderListSize: 65_536,
  enableConnectProtocol: true,
};
const options = { settings, maxHeaderListPairs: 4000, maxSessionMemory: 100, maxDeflateDynamicTableSize: 65_536 };
/** One cookie field, host apart: as the codec hands a head over. */
function read(heard: HeardStream, raw: readonly string[]): void {
  const head: Record<string, string> = {};
  const fields: [string, string][] = [];
  let host = "";
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!;
    const value = raw[i + 1]!;
    const cookie = fields.find(([other]) => other === "cookie");
    if (name.startsWith(":")) head[name] = value;
    else if (name === "host") host = value;
    else if (name === "cookie" && cookie !== undefined) cookie[1] += `; ${value}`;
    else fields.push([name, value]);
  }
  if (head[":method"] !== undefined) head[":authority"] ??= host;
  else if (host !== "") fields.push(["host", host]);
  heard.head = head;
  heard.fields = fields;
}

function pairsOf(raw: readonly string[]): Pairs {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!] as const);
}

function listen(stream: http2.Http2Stream, heard: HeardStream): void {
  stream.setEncoding("latin1");
  stream.on("data", (text: string) => (heard.body += text));
  // The raw list is the last argument, which @types/node does not know.
  stream.on("trailers", (...all: unknown[]) => (heard.trailers = pairsOf(all[2] as string[])));
  stream.on("end", () => (heard.ended = heard.reset === undefined && !stream.aborted));
  stream.on("error", () => {});
  stream.on("close", () => {
    if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) heard.reset = errorName(errorCodeFromWire(stream.rstCode));
  });
}

/** Gives node `parts` one after the other, each with a PING behind it, as long as it answers. */
async function converse(near: Socket, parts: readonly Buffer[], heard: HeardConnection): Promise<void> {
  const written: Buffer[] = [];
  let answered = Promise.withResolvers<void>();
  near.on("data", (chunk: Buffer) => {
    written.push(chunk);
    answered.resolve();
  });
  near.on("close", () => answered.resolve());
  near.on("error", () => {});
  for (const part of parts) {
    heard.survived++;
    const payload = Buffer.from(`probe${String(heard.survived).padStart(3)}`);
    near.write(Buffer.concat([part, ping(0, payload)]));
    for (;;) {
      const frames = wholeFrames(Buffer.concat(written));
      const goaway = frames.find((sent) => sent.type === FrameType.GOAWAY && sent.payload.readUInt32BE(4) !== 0);
      if (goaway !== undefined) heard.fatal = errorName(errorCodeFromWire(goaway.payload.readUInt32BE(4)));
      if (goaway !== undefined) heard.survived--;
      if (goaway !== undefined || near.closed) {
        near.destroy();
        return;
      }
      if (frames.some((sent) => sent.type === FrameType.PING && sent.payload.equals(payload))) break;
      answered = Promise.withResolvers<void>();
      await answered.promise;
    }
    // What node's streams hear they tell a turn later.
    await nextTurn();
  }
  await nextTurn();
  near.destroy();
}

/** The frames in `bytes`, but for one cut off at the end. */
export function wholeFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  let rest = bytes;
  while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
    const length = rest.readUIntBE(0, 3);
    frames.push({ type: rest[3]!, flags: rest[4]!, id: rest.readUInt32BE(5) & 0x7fff_ffff, payload: rest.subarray(9, 9 + length) });
    rest = rest.subarray(9 + length);
  }
  return frames;
}

/** Both ends of a TCP connection. */
async function socketPair(): Promise<[near: Socket, far: Socket]> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const near = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const [far] = (await once(listener, "connection")) as [Socket];
  listener.close();
  if (near.connecting) await once(near, "connect");
  return [near, far];
}

/** What a server hears in `parts`, which are whole frames and field blocks, behind a preface. */
export async function askNodeServer(parts: readonly Buffer[]): Promise<HeardConnection> {
  const heard: HeardConnection = { streams: new Map(), fatal: undefined, survived: 0 };
  const [near, far] = await socketPair();
  const session = http2.performServerHandshake(far, options);
  session.setLocalWindowSize(4_194_304);
  session.on("error", () => {});
  session.on("stream", (stream, _, flags, raw) => {
    const own = unheard();
    heard.streams.set(stream.id!, own);
    read(own, raw);
    listen(stream, own);
    if ((flags & FrameFlag.END_STREAM) !== 0) own.ended = true;
  });
  await converse(near, parts, heard);
  session.destroy();
  return heard;
}

/** What a client hears in `parts` when it has made `requests`, whose streams are 1, 3, 5 and so on. */
export async function askNodeClient(
  parts: readonly Buffer[],
  requests: readonly { method: string; end: boolean }[],
): Promise<HeardConnection> {
  const heard: HeardConnection = { streams: new Map(), fatal: undefined, survived: 0 };
  const [near, far] = await socketPair();
  const session = http2.connect("http://a", { ...options, createConnection: () => far, settings: { ...settings, enablePush: false } });
  session.on("error", () => {});
  session.on("connect", () => session.setLocalWindowSize(4_194_304));
  for (const [i, { method, end }] of requests.entries()) {
    const stream = session.request({ ":method": method, ":path": "/", ":authority": "a" }, { endStream: end });
    const own = unheard();
    heard.streams.set(2 * i + 1, own);
    stream.on("headers", (fields) => own.hints.push(Number(fields[":status"])));
    stream.on("response", (_, flags, ...more: unknown[]) => {
      read(own, more[0] as string[]);
      if ((flags & FrameFlag.END_STREAM) !== 0) own.ended = true;
    });
    listen(stream, own);
  }
  // Answers come behind the requests: its last one is known by its id.
  const written: Buffer[] = [];
  while (!wholeFrames(Buffer.concat(written).subarray(24)).some(({ id }) => id === 2 * requests.length - 1)) {
    const [chunk] = (await once(near, "data")) as [Buffer];
    written.push(chunk);
  }
  await converse(near, parts, heard);
  session.destroy();
  return heard;
}
