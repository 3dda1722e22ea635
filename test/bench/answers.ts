/** What the application answers, whatever stands before it. */

/** Of `GET /`: 63 bytes. */
export const pageBody = "A response of sixty-three bytes, as small calls between services\n".slice(0, 63);

/** A POST of any length is answered with that many bytes. */
export const mebibytePath = "/mebibyte";
export const mebibyte = 1024 * 1024;

/** A unary method; answers with `pageBody` as its message and `grpc-status: 0`. */
export const grpcPath = "/bench.v1.Echo/Say";

/** A message in a gRPC body: not compressed, its length, itself. */
export function grpcFrame(message: string): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(Buffer.byteLength(message), 1);
  return Buffer.concat([prefix, Buffer.from(message)]);
}
