/**
 * Memory for parts of bodies on their way from one socket to another, used again instead of being left to the garbage
 * collector: V8 marks the whole heap for every few dozen MiB of buffers, which cost more than the encryption of the bytes.
 *
 * Whoever takes a block gives it back once, when nothing refers to it any more, or never: a block that is lost is garbage
 * like any other. Bounded: what is given back beyond `keptBytes` of a size is garbage, too.
 */
import type { Writable } from "node:stream";

/** A frame of HTTP/2, a read of ours, a batch of frames: each with its framing. Sizes that nothing else has. */
const sizes: readonly number[] = [17 * 1024, 68 * 1024, 136 * 1024];
/** From this size on memory is taken from blocks; less is Node's to see to. */
export const smallestBlock = 4096;
const keptBytes = 2 * 1024 * 1024;

const free: readonly ArrayBuffer[][] = sizes.map(() => []);
const ours = new WeakSet<ArrayBufferLike>();

/** `size` bytes or more, with whatever was there before. */
export function takeBlock(size: number): Buffer {
  if (size < smallestBlock) return Buffer.allocUnsafe(size);
  for (let index = 0; index < sizes.length; index++) {
    const length = sizes[index] ?? 0;
    if (size > length) continue;
    const known = free[index]?.pop();
    if (known) return Buffer.from(known);
    const block = Buffer.allocUnsafeSlow(length);
    ours.add(block.buffer);
    return block;
  }
  return Buffer.allocUnsafeSlow(size);
}

/** Takes a block back, by any view of it. Throws for one that is here already: two would write into it. Other memory is left alone. */
export function giveBlock({ buffer }: Buffer): void {
  if (!ours.has(buffer)) return;
  const kept = free[sizes.indexOf(buffer.byteLength)];
  if (!kept) return;
  if (kept.includes(buffer as ArrayBuffer)) throw new Error("a block is given back twice");
  if (kept.length * buffer.byteLength < keptBytes) kept.push(buffer as ArrayBuffer);
}

/** Writes a view of a block, which is given back as soon as the socket has taken it. False: wait for `drain`. */
export function writeBlock(socket: Writable, bytes: Buffer): boolean {
  if (bytes.length < smallestBlock) return socket.write(bytes);
  return socket.write(bytes, () => giveBlock(bytes));
}

/**
 * Writes a copy of `chunk` between two texts (latin1). False: wait for `drain`. The parts that one turn of the event loop has for
 * a socket leave it in one write: TLS hands over 16 KiB at a time.
 */
export function writeCopy(socket: Writable, before: string, chunk: Buffer, after: string): boolean {
  const length = before.length + chunk.length + after.length;
  const block = takeBlock(length);
  if (before !== "") block.write(before, 0, "latin1");
  chunk.copy(block, before.length);
  if (after !== "") block.write(after, before.length + chunk.length, "latin1");
  if (length >= smallestBlock) gather(socket);
  return writeBlock(socket, block.length === length ? block : block.subarray(0, length));
}

let gathering: Writable[] = [];

function gather(socket: Writable): void {
  // TLS would copy the parts once more to have them in one piece.
  if (socket.writableCorked > 0 || "encrypted" in socket) return;
  socket.cork();
  if (gathering.push(socket) === 1) setImmediate(release);
}

function release(): void {
  const sockets = gathering;
  gathering = [];
  for (const socket of sockets) socket.uncork();
}
