/** What a connection of ours hears in bytes, in the form in which node-peer.ts tells what node's hears. */
import { createHttp2Connection, type Http2Handler } from "../../../sidecar/http2/connection.ts";
import { errorName } from "../../../sidecar/http2/error.ts";
import type { Asked } from "./frame-mutations.ts";
import { unheard, type HeardConnection, type HeardStream, type Pairs } from "./node-peer.ts";
import { record } from "./wire.ts";

/** One cookie field, as node-peer.ts makes of several. */
function pairsOf(fields: readonly { name: string; value: string }[]): Pairs {
  const cookies = fields.filter(({ name }) => name === "cookie").map(({ value }) => value);
  const first = fields.findIndex(({ name }) => name === "cookie");
  return fields
    .filter(({ name }, i) => name !== "cookie" || i === first)
    .map(({ name, value }) => [name, name === "cookie" ? cookies.join("; ") : value] as const);
}

/** Hears `bytes` in parts of `cut` bytes; a client has made requests with `methods` before. */
export function hear(role: "client" | "server", bytes: Buffer, asked: readonly Asked[], cut = Infinity): HeardConnection {
  const heard: HeardConnection = { streams: new Map(), fatal: undefined, survived: 0 };
  const of = (id: number): HeardStream => heard.streams.get(id)!;
  const also: Partial<Http2Handler> = {
    onRequest(stream, { method, scheme, target, authority, fields }, ended) {
      const path: Record<string, string> = method === "CONNECT" && stream.protocol === "" ? {} : { ":scheme": scheme, ":path": target };
      const protocol: Record<string, string> = stream.protocol === "" ? {} : { ":protocol": stream.protocol };
      const head = { ":method": method, ":authority": authority, ...path, ...protocol };
      heard.streams.set(stream.id, { ...unheard(), head, fields: pairsOf(fields), ended });
    },
    onResponse(stream, { status, fields }, ended) {
      // nghttp2 takes the 0 away that some servers state.
      const stated = status === 204 ? fields.filter(({ name }) => name !== "content-length") : fields;
      Object.assign(of(stream.id), { head: { ":status": String(status) }, fields: pairsOf(stated), ended });
    },
    onInformational: (stream, { status }) => void of(stream.id).hints.push(status),
    onData(stream, chunk, ended) {
      connection.consumed(stream, chunk.length);
      of(stream.id).body += chunk.toString("latin1");
      of(stream.id).ended = ended;
    },
    onTrailers: (stream, fields) =>
      void Object.assign(of(stream.id), { trailers: fields.map(({ name, value }) => [name, value]), ended: true }),
    onReset: (stream, code) => void Object.assign(of(stream.id), { reset: errorName(code), ended: false }),
    onFatal: (error) => (heard.fatal = error.code),
  };
  const connection = createHttp2Connection({ role, handler: record(also).handler, now: () => 0 });
  for (const [i, { method, end }] of asked.entries()) {
    connection.request({ method, scheme: "http", authority: "a", path: "/" }, [], end);
    heard.streams.set(2 * i + 1, unheard());
  }
  for (let at = 0; at < bytes.length; at += cut) {
    connection.receive(bytes.subarray(at, at + cut));
    connection.takeOutput();
    if (cut === Infinity) break;
  }
  return heard;
}
