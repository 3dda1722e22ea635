/**
 * Bytes to text, a character a byte. Hot path: Node's own `latin1Slice` (long stable, but outside its types) skips the
 * choice of an encoding that `toString("latin1")` makes on every call.
 */
interface Latin1Source {
  latin1Slice(from: number, to: number): string;
}

/** The text of `buffer[from, to)`: a string of its own, which keeps no other alive. */
export function latin1(buffer: Buffer, from: number, to: number): string {
  return (buffer as unknown as Latin1Source).latin1Slice(from, to);
}
