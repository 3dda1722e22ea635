/** A gRPC service by hand on HTTP/2 streams: the methods of `test.Echo`, whose messages are any bytes. */
import { createField } from "../../../../common/http/field.ts";
import type { Exchange } from "./site.ts";

export interface GrpcMethod {
  take(chunk: Buffer): void;
  end(): void;
}

const type = createField("content-type", "application/grpc");
const status = (code: number, message?: string) => [
  createField("grpc-status", String(code)),
  ...(message === undefined ? [] : [createField("grpc-message", encodeURIComponent(message))]),
];

/** A message with the five bytes before it. */
export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function unframed(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    messages.push(bytes.subarray(at + 5, end));
    at = end;
  }
  return messages;
}

/**
 * The method that a request names, or undefined for a request that is no gRPC. `Echo` answers each message as it comes (unary
 * and bidirectional), `Repeat` the one it gets three times (server streaming), `Join` all of them in one (client streaming);
 * `Fail` fails with NOT_FOUND and no message, `Wait` never answers.
 */
export function answerGrpc({ connection, stream, head }: Exchange): GrpcMethod | undefined {
  if (!head.target.startsWith("/test.Echo/")) return undefined;
  const parts: Buffer[] = [];
  const collect = (chunk: Buffer): void => void parts.push(Buffer.from(chunk));
  const answer = (body: Buffer): void => {
    connection.respond(stream, 200, [type], false);
    connection.sendData(stream, body, false);
    connection.sendTrailers(stream, status(0));
  };
  switch (head.target.slice("/test.Echo/".length)) {
    case "Echo":
      connection.respond(stream, 200, [type, createField("x-initial", "metadata")], false);
      return {
        take: (chunk) => void connection.sendData(stream, chunk, false),
        end: () => connection.sendTrailers(stream, [...status(0), createField("x-final", "metadata")]),
      };
    case "Repeat":
      return { take: collect, end: () => answer(Buffer.concat([...parts, ...parts, ...parts])) };
    case "Join":
      return { take: collect, end: () => answer(framed(Buffer.concat(unframed(Buffer.concat(parts))))) };
    case "Wait":
      return { take: collect, end: () => undefined };
    default:
      return { take: collect, end: () => connection.respond(stream, 200, [type, ...status(5, "no such thing")], true) };
  }
}
