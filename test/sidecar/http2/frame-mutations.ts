/** Valid conversations from a seed, and changes to their frames: structure is kept where it lets a mistake get far. */
import { createField, type Field } from "../../../common/http/field.ts";
import { createHttp2Connection, type Http2Connection, type Http2Stream } from "../../../sidecar/http2/connection.ts";
import { FrameFlag, FrameType } from "../../../sidecar/http2/frames.ts";
import type { Random } from "../http1/mutations.ts";
import { wholeFrames } from "./node-peer.ts";
import { block, frame, goaway, ping, record, reset, settings, settingsAck, uint32, windowUpdate, type Frame } from "./wire.ts";

const names = ["accept", "content-type", "cookie", "te", "x-a", "x-b", "x-long", "content-length", "user-agent", "x-session"];
const values = ["", "a", "text/plain", "a b", "a=1", "t".repeat(300), "caf\u00e9", "trailers", "3", "0"];

function fieldsFrom(random: Random, extra: readonly Field[] = []): Field[] {
  const fields = [...extra];
  for (let count = random.below(6); count > 0; count--) {
    const name = random.pick(names);
    if (name === "content-length") continue;
    fields.push(createField(name, name === "te" ? "trailers" : random.pick(values)));
  }
  return fields;
}

export interface Asked {
  readonly method: string;
  readonly end: boolean;
}

function bodyFrom(random: Random): Buffer | undefined {
  return random.below(2) === 0 ? undefined : Buffer.alloc(random.pick([0, 1, 3, 100, 3000]), "body");
}

/** Sends a body in one part or two, perhaps with trailers. */
function say(connection: Http2Connection, stream: Http2Stream, body: Buffer, random: Random, tunnel: boolean): void {
  const middle = random.below(body.length + 1);
  if (random.below(2) === 0) connection.sendData(stream, body.subarray(0, middle), false);
  else {
    connection.sendData(stream, body, true);
    return;
  }
  connection.sendData(stream, body.subarray(middle), tunnel);
  if (!tunnel) connection.sendTrailers(stream, fieldsFrom(random));
}

/** A few requests in frames, behind preface and SETTINGS of a client; and what they ask. */
export function requestsFrom(random: Random): { frames: Frame[]; asked: Asked[] } {
  const connection = createHttp2Connection({ role: "client", handler: record().handler, now: () => 0 });
  connection.receive(Buffer.concat([settings([8, 1], [1, 65_536], [4, 262_144]), settingsAck]));
  const asked: Asked[] = [];
  for (let count = 1 + random.below(4); count > 0; count--) {
    const method = random.pick(["GET", "GET", "POST", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "CONNECT"]);
    const protocol = method === "CONNECT" && random.below(2) === 0 ? { protocol: "websocket" } : {};
    const path = method === "OPTIONS" && random.below(2) === 0 ? "*" : random.pick(["/", "/a?b", "/long/path"]);
    const body = method === "GET" || method === "HEAD" ? undefined : bodyFrom(random);
    const declared = body !== undefined && method !== "CONNECT" && random.below(2) === 0;
    const fields = fieldsFrom(random, declared ? [createField("content-length", String(body.length))] : []);
    const authority = random.pick(["a", "orders.shop:80"]);
    const stream = connection.request(
      { method, scheme: random.pick(["http", "https"]), authority, path, ...protocol },
      fields,
      body === undefined,
    );
    asked.push({ method, end: body === undefined });
    if (body !== undefined) say(connection, stream, body, random, method === "CONNECT");
  }
  return { frames: wholeFrames(connection.takeOutput()!.subarray(24)), asked };
}

/** Responses to what was asked, in frames, behind a server's SETTINGS. */
export function responsesFrom(random: Random, asked: readonly Asked[]): Frame[] {
  const { handler, streams } = record();
  const connection = createHttp2Connection({ role: "server", handler, now: () => 0 });
  const client = createHttp2Connection({ role: "client", handler: record().handler, now: () => 0 });
  for (const { method, end } of asked) client.request({ method, scheme: "http", authority: "a", path: "/" }, [], end);
  connection.receive(client.takeOutput()!);
  const tail: (() => void)[] = [];
  for (const [i, { method }] of asked.entries()) {
    const stream = streams.get(2 * i + 1)!;
    for (let hints = random.below(3); hints > 0; hints--)
      connection.respond(stream, random.pick([100, 102, 103]), fieldsFrom(random), false);
    const status = random.pick([200, 200, 201, 204, 304, 404, 500]);
    const tunnel = method === "CONNECT" && status < 300;
    const bodiless = method === "HEAD" || status === 304 || (status === 204 && !tunnel);
    const body = bodiless ? undefined : bodyFrom(random);
    const declared = body !== undefined && !tunnel && random.below(2) === 0;
    connection.respond(
      stream,
      status,
      fieldsFrom(random, declared ? [createField("content-length", String(body.length))] : []),
      body === undefined,
    );
    // Bodies come in another order than heads.
    if (body !== undefined) tail.splice(random.below(tail.length + 1), 0, () => say(connection, stream, body, random, tunnel));
  }
  for (const finish of tail) finish();
  return wholeFrames(connection.takeOutput()!);
}

export const bytesOfFrames = (frames: readonly Frame[]): Buffer =>
  Buffer.concat(frames.map(({ type, flags, id, payload }) => frame(type, flags, id, payload)));

const request = [":method", "GET"] as const;
const evilBlocks: readonly Buffer[] = [
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"]),
  block(request, [":scheme", "http"], [":path", "/"], ["host", "a"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["host", "b"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["x-a", " edge"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["X-A", "b"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["x-a", "b\r\nc: d"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["content-length", "1"], ["content-length", "1"]),
  block(request, [":scheme", "http"], [":path", "/"], [":authority", "a"], ["transfer-encoding", "chunked"]),
  block(request, [":scheme", "http"], [":path", "/"]),
  block([":status", "200"]),
  block([":status", "103"], ["link", "</a>"]),
  block([":status", "101"]),
  block([":status", "200"], ["content-length", "3"]),
  block(["x-trailer", "1"]),
  block(["x-trailer", "1"], ["content-length", "3"]),
  block([":path", "/"]),
  Buffer.alloc(0),
  Buffer.from([0xbe]),
  Buffer.from([0x20]),
  Buffer.from([0x3f, 0xe1, 0x1f]),
];

/** Frames to put in anywhere. */
function inserted(random: Random): Buffer {
  const id = random.pick([0, 1, 1, 2, 3, 3, 5, 7, 9, 101]);
  const bits = random.pick([0, 1, 4, 5, 5, 8, 0x20, 0xff]);
  return random.pick<() => Buffer>([
    () => ping(random.below(2)),
    () => settings(),
    () => settings([4, random.pick([0, 1, 65_535, 0x7fff_ffff])]),
    () => settings([1, random.pick([0, 100, 4096])], [5, random.pick([16_384, 50_000])]),
    () => settings([random.below(10), random.below(3)]),
    () => windowUpdate(id, random.pick([0, 1, 1000, 0x7fff_0000, 0x7fff_ffff])),
    () => reset(id, random.pick([0, 5, 8, 99])),
    () => frame(FrameType.PRIORITY, 0, id, Buffer.concat([uint32(random.pick([0, 1, 3, 5])), Buffer.from([random.below(256)])])),
    () => goaway(random.pick([0, 1, 3, 0x7fff_ffff]), random.pick([0, 0, 1])),
    () => frame(random.pick([10, 11, 16, 0xfa]), bits, id, Buffer.alloc(random.below(10))),
    () => frame(FrameType.DATA, bits, id, Buffer.alloc(random.below(20), random.below(4))),
    () => frame(FrameType.HEADERS, bits, id, random.pick(evilBlocks)),
    () => frame(FrameType.HEADERS, random.pick([4, 5]), id, random.pick(evilBlocks)),
    () => frame(FrameType.CONTINUATION, bits, id, random.pick(evilBlocks)),
    () => frame(FrameType.PUSH_PROMISE, 4, id, Buffer.concat([uint32(random.pick([2, 4])), evilBlocks[0]!])),
  ])();
}

type Mutation = (frames: Frame[], at: number, random: Random, kept: number) => void;

const mutations: readonly Mutation[] = [
  (frames, at) => frames.splice(at, 1),
  (frames, at, random, kept) => frames.splice(kept + random.below(frames.length - kept + 1), 0, frames[at]!),
  (frames, at) => frames.splice(at, 2, ...frames.slice(at, at + 2).toReversed()),
  (frames, at, random) => change(frames, at, { flags: frames[at]!.flags ^ random.pick([1, 4, 8, 0x20, 0x80]) }),
  (frames, at, random) => change(frames, at, { id: random.pick([0, 1, 2, 3, 5, 7, 9, 0x8000_0001]) }),
  (frames, at, random) => change(frames, at, { payload: frames[at]!.payload.subarray(0, random.below(frames[at]!.payload.length + 1)) }),
  (frames, at, random) => change(frames, at, { type: random.below(11) }),
  (frames, at, random) => change(frames, at, { payload: flipped(frames[at]!.payload, random) }),
  (frames, at, random) => change(frames, at, { payload: flipped(frames[at]!.payload, random) }),
  (frames, at, random) => change(frames, at, { payload: Buffer.concat([frames[at]!.payload, random.pick(evilBlocks)]) }),
  (frames, at, random) => change(frames, at, { payload: random.pick(evilBlocks) }),
  (frames, at, random) => frames.splice(at, 0, ...wholeFrames(inserted(random))),
  (frames, at, random) => frames.splice(at, 0, ...wholeFrames(inserted(random))),
  (frames, at, random) => frames.splice(at, 0, ...wholeFrames(inserted(random))),
  split,
  split,
  pad,
];

function change(frames: Frame[], at: number, to: Partial<Frame>): void {
  frames[at] = { ...frames[at]!, ...to };
}

function flipped(payload: Buffer, random: Random): Buffer {
  const bytes = Buffer.from(payload);
  if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** HEADERS as HEADERS and CONTINUATIONs, which changes nothing. */
function split(frames: Frame[], at: number, random: Random): void {
  const { type, flags, id, payload } = frames[at]!;
  if (type !== FrameType.HEADERS || (flags & (FrameFlag.END_HEADERS | FrameFlag.PADDED)) !== FrameFlag.END_HEADERS) return;
  const middle = random.below(payload.length + 1);
  frames.splice(
    at,
    1,
    { type, flags: flags & ~FrameFlag.END_HEADERS, id, payload: payload.subarray(0, middle) },
    { type: FrameType.CONTINUATION, flags: FrameFlag.END_HEADERS, id, payload: payload.subarray(middle) },
  );
}

/** Padding in DATA or HEADERS, which changes nothing. */
function pad(frames: Frame[], at: number, random: Random): void {
  const { type, flags, payload } = frames[at]!;
  if ((type !== FrameType.DATA && type !== FrameType.HEADERS) || (flags & FrameFlag.PADDED) !== 0) return;
  const size = random.below(20);
  change(frames, at, { flags: flags | FrameFlag.PADDED, payload: Buffer.concat([Buffer.from([size]), payload, Buffer.alloc(size)]) });
}

/** The frames with up to four changes, behind the first `kept`. */
export function mutateFrames(original: readonly Frame[], kept: number, random: Random): Frame[] {
  const frames = [...original];
  for (let count = random.below(5); count > 0 && frames.length > kept; count--) {
    random.pick(mutations)(frames, kept + random.below(frames.length - kept), random, kept);
  }
  return frames;
}

/** The frames as bytes, in parts that no frame of another kind would disturb: a field block is one. */
export function partsOfFrames(frames: readonly Frame[]): Buffer[] {
  const parts: Buffer[] = [];
  let open: Frame[] = [];
  for (const frame of frames) {
    open.push(frame);
    const goesOn = frame.type === FrameType.HEADERS || frame.type === FrameType.CONTINUATION || frame.type === FrameType.PUSH_PROMISE;
    if (goesOn && (frame.flags & FrameFlag.END_HEADERS) === 0) continue;
    parts.push(bytesOfFrames(open));
    open = [];
  }
  return open.length === 0 ? parts : [...parts, bytesOfFrames(open)];
}
