/**
 * An upstream may answer a request that it has not read to its end, and close the connection. What is still written to it
 * then fails, and a socket of Node's is destroyed by that, together with the answer that it has received and not been asked for.
 * Here it lives on: the end of the connection, or its failure, comes by reading, behind whatever was received.
 */
import type { Socket } from "node:net";

/** From here on a write that fails counts as done. */
export function outliveWriteErrors(socket: Socket): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => write(chunk, encoding, () => done());
  if (writev) socket._writev = (chunks, done) => writev(chunks, () => done());
}
