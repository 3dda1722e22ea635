/** Bytes four at a time. Hot path: a DataView is made once for a read buffer that is used again and again. */

let viewed: ArrayBufferLike = new ArrayBuffer(0);
let view: DataView = new DataView(viewed);

/** A view of the memory that `buffer` is part of: byte 0 of `buffer` is at `buffer.byteOffset`. */
export function viewOf(buffer: Buffer): DataView {
  const memory = buffer.buffer;
  if (memory !== viewed) {
    viewed = memory;
    view = new DataView(memory);
  }
  return view;
}
