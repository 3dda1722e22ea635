/** The smallest client on `attachHttp2`: calls that are promises, on one connection. */
import { once } from "node:events";
import { connect, type NetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import { createField, type Field } from "../../../../common/http/field.ts";
import { createHttp2Connection, type Http2Connection, type Http2Limits, type Http2Stream } from "../../../../sidecar/http2/connection.ts";
import { errorName, Http2ErrorCode, type Http2ErrorName } from "../../../../sidecar/http2/error.ts";
import { attachHttp2, type Http2Transport } from "../../../../sidecar/http2/transport.ts";

export interface Call {
  readonly method?: string;
  readonly path: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly trailers?: Readonly<Record<string, string>>;
  /** Gives the stream's credit back when told to, not at once; `cancelAt`: resets it after that many bytes. */
  readonly reads?: "at once" | "never";
  readonly cancelAt?: number;
}

export interface Answer {
  readonly status: number;
  readonly fields: Readonly<Record<string, string>>;
  /** 1xx before it. */
  readonly hints: readonly number[];
  readonly body: Buffer;
  readonly trailers: Readonly<Record<string, string>>;
  /** How the stream ended if it was reset; what came before stands above. */
  readonly reset: Http2ErrorName | undefined;
}

export interface Caller extends AsyncDisposable {
  readonly connection: Http2Connection;
  readonly transport: Http2Transport;
  /** Waits its turn while the server takes no more streams. Rejects when the connection drains before. */
  ask(call: Call): Promise<Answer>;
  /** Gives back all credit that calls which read "never" hold. */
  readNow(): void;
  readonly closed: Promise<Error | undefined>;
}

/** Rejected with by `ask` when a call was not made, or not looked at by the server: it may be made again elsewhere. */
export class NotCalled extends Error {
  override readonly name = "NotCalled";
}

interface Pending {
  readonly call: Call;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  status: number;
  fields: Readonly<Record<string, string>>;
  readonly hints: number[];
  readonly chunks: Buffer[];
  received: number;
  held: number;
  sent: number;
}

const fieldsOf = (record: Readonly<Record<string, string>> = {}): Field[] =>
  Object.entries(record).map(([name, value]) => createField(name, value));
const recordOf = (fields: readonly Field[]): Record<string, string> => Object.fromEntries(fields.map(({ name, value }) => [name, value]));
const PART = 50_000;

export async function openCaller(to: NetConnectOpts | Duplex, limits: Partial<Http2Limits> = {}): Promise<Caller> {
  let socket: Duplex;
  if ("write" in to) socket = to;
  else {
    const connected = connect(to);
    await once(connected, "connect");
    connected.setNoDelay(true);
    socket = connected;
  }
  const waiting: Pending[] = [];
  const open = new Set<Http2Stream>();
  const closed = Promise.withResolvers<Error | undefined>();
  const of = (stream: Http2Stream): Pending => stream.data as Pending;

  function begin(): void {
    while (waiting.length > 0 && connection.canRequest()) {
      const pending = waiting.shift()!;
      const { method = "GET", path, fields, body, trailers } = pending.call;
      const whole = body === undefined && trailers === undefined;
      const stream = connection.request({ method, path, scheme: "http", authority: "localhost" }, fieldsOf(fields), whole);
      stream.data = pending;
      open.add(stream);
      if (!whole) sendParts(stream, pending);
    }
    if (!connection.isDraining() && !connection.isClosed()) return;
    for (const { reject } of waiting.splice(0)) reject(new NotCalled("the connection drains"));
  }

  function sendParts(stream: Http2Stream, pending: Pending): void {
    const { body = Buffer.alloc(0), trailers } = pending.call;
    let more = true;
    while (more && pending.sent < body.length) {
      const part = body.subarray(pending.sent, pending.sent + PART);
      pending.sent += part.length;
      more = connection.sendData(stream, part, trailers === undefined && pending.sent === body.length);
    }
    if (body.length === 0 && trailers === undefined) connection.sendData(stream, body, true);
    else if (more && trailers !== undefined) connection.sendTrailers(stream, fieldsOf(trailers));
  }

  function end(stream: Http2Stream, trailers: readonly Field[], reset: Http2ErrorName | undefined): void {
    open.delete(stream);
    const { resolve, reject, status, fields, hints, chunks } = of(stream);
    if (reset === "REFUSED_STREAM") reject(new NotCalled("the stream was refused"));
    else resolve({ status, fields, hints, body: Buffer.concat(chunks), trailers: recordOf(trailers), reset });
    // Its place is free once the codec is through with it.
    setImmediate(begin);
  }

  const unexpected = (): never => {
    throw new Error("a client has no requests to receive");
  };
  const transport = attachHttp2(
    socket,
    {
      onRequest: unexpected,
      onInformational: (stream, head) => void of(stream).hints.push(head.status),
      onResponse(stream, head, last) {
        of(stream).status = head.status;
        of(stream).fields = recordOf(head.fields);
        if (last) end(stream, [], undefined);
      },
      onData(stream, chunk, last) {
        const pending = of(stream);
        pending.chunks.push(Buffer.from(chunk));
        pending.received += chunk.length;
        if (pending.call.reads === "never") pending.held += chunk.length;
        else connection.consumed(stream, chunk.length);
        if (pending.call.cancelAt !== undefined && pending.received >= pending.call.cancelAt)
          connection.reset(stream, Http2ErrorCode.CANCEL);
        else if (last) end(stream, [], undefined);
      },
      onTrailers: (stream, fields) => end(stream, fields, undefined),
      onReset: (stream, code) => end(stream, [], errorName(code)),
      onWritable: (stream) => sendParts(stream, of(stream)),
      onGoaway: begin,
      onSettings: begin,
      onPong: begin,
      onFatal: begin,
    },
    (handler) => createHttp2Connection({ role: "client", handler, limits, now: () => performance.now() }),
    {
      onClose(error) {
        begin();
        closed.resolve(error);
      },
    },
  );
  const { connection } = transport;

  return {
    connection,
    transport,
    closed: closed.promise,
    ask(call) {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      waiting.push({ call, resolve, reject, status: 0, fields: {}, hints: [], chunks: [], received: 0, held: 0, sent: 0 });
      begin();
      return promise;
    },
    readNow() {
      for (const stream of open) {
        connection.consumed(stream, of(stream).held);
        of(stream).held = 0;
      }
    },
    async [Symbol.asyncDispose]() {
      await transport.close(1000);
    },
  };
}
