/** What passes through a network namespace, as the kernel shows it to whoever looks (AF_PACKET), put together to TCP streams. */
import { readFileSync } from "node:fs";
import { formatIp } from "../../common/net/ip.ts";
import type { Host } from "./namespaces.ts";

export interface End {
  readonly address: string;
  readonly port: number;
}

/** One direction of a TCP connection. */
export interface TcpStream {
  readonly from: End;
  readonly to: End;
  /** Whether `from` opened the connection. */
  readonly opener: boolean;
  /** From the first byte up to the first that was not seen. */
  readonly bytes: Buffer;
}

export interface Captured {
  readonly streams: readonly TcpStream[];
  /** Connections that were open before, and said something: nothing of it is in `streams`. */
  readonly older: readonly (readonly [End, End])[];
  /** Every byte of every frame, for what is in none of the streams. */
  readonly frames: readonly Buffer[];
  /** Frames that the kernel had no room for. */
  readonly dropped: number;
}

export interface Capture {
  /** What was seen until the first call. */
  end(): Promise<Captured>;
}

/** Of all interfaces of that namespace. `command` runs programs/capture.py with the file's name behind it. */
export async function startCapture(host: Host, command: readonly string[], file: string): Promise<Capture> {
  const program = host.start([...command, file]);
  await program.line((line) => line === "capturing");
  let ended: Promise<Captured> | undefined;
  async function end(): Promise<Captured> {
    process.kill(program.pid, "SIGTERM");
    const said = await program.line((line) => line.startsWith("seen "));
    await program.end();
    const frames = framesOf(readFileSync(file));
    return { ...assemble(frames), frames, dropped: Number(said.split(" ").at(-1)) };
  }
  return { end: () => (ended ??= end()) };
}

function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    frames.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return frames;
}

interface Segment {
  readonly from: End;
  readonly to: End;
  readonly sequence: number;
  readonly opens: boolean;
  readonly acknowledges: boolean;
  readonly payload: Buffer;
}

const ethernetHeader = 14;
const etherTypeV4 = 0x0800;
const etherTypeV6 = 0x86dd;
const tcp = 6;
const syn = 0x02;
const ack = 0x10;

function segmentOf(frame: Buffer): Segment | undefined {
  const packet = frame.subarray(ethernetHeader);
  switch (frame.readUInt16BE(12)) {
    case etherTypeV4: {
      if (packet.readUInt8(9) !== tcp) return undefined;
      const header = (packet.readUInt8(0) & 0x0f) * 4;
      const words = [12, 16].map((at) => [packet.readUInt32BE(at)]);
      return tcpOf(packet.subarray(header, packet.readUInt16BE(2)), words);
    }
    case etherTypeV6: {
      // Extension headers do not come with TCP here.
      if (packet.readUInt8(6) !== tcp) return undefined;
      const words = [8, 24].map((at) => [0, 4, 8, 12].map((offset) => packet.readUInt32BE(at + offset)));
      return tcpOf(packet.subarray(40, 40 + packet.readUInt16BE(4)), words);
    }
    default:
      return undefined;
  }
}

function tcpOf(segment: Buffer, [source = [], destination = []]: readonly (readonly number[])[]): Segment {
  const flags = segment.readUInt8(13);
  return {
    from: { address: formatIp(source), port: segment.readUInt16BE(0) },
    to: { address: formatIp(destination), port: segment.readUInt16BE(2) },
    sequence: segment.readUInt32BE(4),
    opens: (flags & syn) !== 0,
    acknowledges: (flags & ack) !== 0,
    payload: segment.subarray((segment.readUInt8(12) >> 4) * 4),
  };
}

interface Assembly {
  readonly first: Segment;
  /** By its place in the stream: a bridge shows every frame twice, and some are sent again. */
  readonly parts: Map<number, Buffer>;
}

function assemble(frames: readonly Buffer[]): Pick<Captured, "streams" | "older"> {
  const all: Assembly[] = [];
  const older = new Map<string, readonly [End, End]>();
  const current = new Map<string, Assembly>();
  for (const frame of frames) {
    const segment = segmentOf(frame);
    if (!segment) continue;
    const { from, to, sequence, opens, payload } = segment;
    const key = `${from.address} ${from.port} ${to.address} ${to.port}`;
    let assembly = current.get(key);
    if (opens && assembly?.first.sequence !== sequence) {
      assembly = { first: segment, parts: new Map() };
      all.push(assembly);
      current.set(key, assembly);
    }
    if (payload.length === 0) continue;
    if (!assembly) {
      older.set(key, [from, to]);
      continue;
    }
    // SYN takes the first number.
    const place = (sequence - assembly.first.sequence - 1) >>> 0;
    if ((assembly.parts.get(place)?.length ?? 0) < payload.length) assembly.parts.set(place, payload);
  }
  return {
    streams: all.map(({ first, parts }) => ({ from: first.from, to: first.to, opener: !first.acknowledges, bytes: joined(parts) })),
    older: [...older.values()],
  };
}

function joined(parts: ReadonlyMap<number, Buffer>): Buffer {
  const pieces: Buffer[] = [];
  let end = 0;
  for (const [place, payload] of [...parts].sort(([one], [other]) => one - other)) {
    if (place > end) break;
    if (place + payload.length <= end) continue;
    pieces.push(payload.subarray(end - place));
    end = place + payload.length;
  }
  return Buffer.concat(pieces);
}
