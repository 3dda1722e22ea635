/**
 * Frames on their way out, gathered in one growing buffer until the transport takes them.
 *
 * Hot path: nothing is allocated for a frame; small batches are copied out once, large ones handed over as they are, in a
 * block that whoever writes it gives back.
 */
import { giveBlock, takeBlock } from "../blocks.ts";

export interface Output {
  buffer: Buffer;
  length: number;
  /** Bytes among them that answer the peer's frames. */
  control: number;
  /** Streams that ended with something of theirs among them: to the peer they are still open. */
  ended: number;
  /** Size of the last batch: what a new buffer is made for. */
  last: number;
  /** Called when there is something to take for the first time since it was taken. */
  readonly notify: () => void;
}

const INITIAL_BYTES = 16_384;
/** From this size on a batch is handed over with its buffer instead of being copied. */
const HAND_OVER = 16_384;
const none = Buffer.alloc(0);

export function createOutput(notify: () => void): Output {
  return { buffer: none, length: 0, control: 0, ended: 0, last: 0, notify };
}

/** Makes room for `size` more bytes behind `output.length`. */
export function reserve(output: Output, size: number): void {
  if (output.length === 0) output.notify();
  const needed = output.length + size;
  if (needed <= output.buffer.length) return;
  const larger = takeBlock(Math.max(INITIAL_BYTES, needed, output.buffer.length * 2, output.last));
  output.buffer.copy(larger, 0, 0, output.length);
  giveBlock(output.buffer);
  output.buffer = larger;
}

/** Everything gathered, as a buffer that nothing here refers to any more; undefined when there is nothing. */
export function take(output: Output): Buffer | undefined {
  const length = output.length;
  if (length === 0) return undefined;
  output.length = 0;
  output.control = 0;
  output.ended = 0;
  output.last = length;
  const buffer = output.buffer;
  if (length >= HAND_OVER) {
    output.buffer = none;
    return buffer.subarray(0, length);
  }
  const batch = Buffer.allocUnsafe(length);
  buffer.copy(batch, 0, 0, length);
  if (buffer.length > HAND_OVER * 2) {
    giveBlock(buffer);
    output.buffer = none;
  }
  return batch;
}
