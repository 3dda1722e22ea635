/**
 * Answers on an HTTP/1.1 connection, one after the other. Hot path: head and first data leave in one write; a head whose
 * data does not follow in the same turn of the event loop leaves at its end.
 */
import type { Writable } from "node:stream";
import { FieldKind, type Field } from "../../common/http/field.ts";
import { writeCopy } from "../blocks.ts";
import { CHUNKED_BODY, CLOSE, KEEP_ALIVE, NO_FRAMING, writeChunkHead, writeLastChunk, writeResponseHead } from "./write-head.ts";

export interface ResponseWriter {
  /** What the next answer is to: decides framing and whether the connection may live on. */
  expect(method: string, version: 0 | 1, keepAlive: boolean): void;
  /** A 1xx before the head. */
  sendInformational(status: number, fields: readonly Field[]): void;
  /** 101: from here on the connection speaks `protocol`, and the writer is of no use. */
  switchProtocols(protocol: string, fields: readonly Field[]): void;
  /** `fields` are end-to-end ones. `contentLength` -1 where only the end will tell; `end` when no body follows. */
  sendHead(status: number, fields: readonly Field[], contentLength: number, end: boolean): void;
  /** False: wait for the socket's `drain`. The chunk is copied. */
  sendData(chunk: Buffer, end: boolean): boolean;
  /** Ends an answer whose last data was not marked as such. */
  end(trailers: readonly Field[]): void;
  /** Whether the connection has to be closed now that the answer is complete. */
  readonly mustClose: boolean;
}

interface Deferred {
  flush(): void;
}

let deferred: Deferred[] = [];

function flushDeferred(): void {
  const due = deferred;
  deferred = [];
  for (const each of due) each.flush();
}

export function createResponseWriter(socket: Writable): ResponseWriter {
  let method = "GET";
  let version: 0 | 1 = 1;
  let keepAlive = true;
  let chunked = false;
  let bodiless = false;
  /** A head that waits for its first data. */
  let head = "";
  let queued = false;

  const self: Deferred = {
    flush() {
      queued = false;
      if (head !== "") {
        socket.write(head, "latin1");
        head = "";
      }
    },
  };

  return {
    get mustClose() {
      return !keepAlive;
    },
    expect(requestMethod, requestVersion, mayKeep) {
      method = requestMethod;
      version = requestVersion;
      keepAlive = mayKeep;
    },
    sendInformational(status, fields) {
      socket.write(writeResponseHead(status, fields, NO_FRAMING), "latin1");
    },
    switchProtocols(protocol, fields) {
      socket.write(writeResponseHead(101, fields, NO_FRAMING, undefined, 0, protocol), "latin1");
    },
    sendHead(status, fields, contentLength, end) {
      bodiless = method === "HEAD" || status === 204 || status === 304;
      chunked = false;
      let framing = NO_FRAMING;
      if (bodiless) {
        // What the length would have been may be told (RFC 9110 8.6).
        if (status !== 204) framing = declaredLength(fields);
      } else if (end) framing = 0;
      else if (contentLength >= 0) framing = contentLength;
      else if (version === 1) {
        chunked = true;
        framing = CHUNKED_BODY;
      } else keepAlive = false;
      const connection = keepAlive ? (version === 0 ? KEEP_ALIVE : "") : CLOSE;
      const text = writeResponseHead(status, fields, framing, undefined, 0, connection);
      if (end) {
        socket.write(text, "latin1");
        return;
      }
      head = text;
      if (!queued) {
        queued = true;
        if (deferred.push(self) === 1) setImmediate(flushDeferred);
      }
    },
    sendData(chunk, end) {
      if (bodiless) {
        self.flush();
        return true;
      }
      const before = chunked && chunk.length > 0 ? head + writeChunkHead(chunk.length) : head;
      const after = chunked ? (chunk.length > 0 ? "\r\n" : "") + (end ? writeLastChunk() : "") : "";
      head = "";
      if (before.length + chunk.length + after.length === 0) return true;
      return writeCopy(socket, before, chunk, after);
    },
    end(trailers) {
      if (!chunked || bodiless) {
        self.flush();
        return;
      }
      const text = head + writeLastChunk(trailers);
      head = "";
      socket.write(text, "latin1");
    },
  };
}

function declaredLength(fields: readonly Field[]): number {
  const field = fields.find(({ kinds }) => (kinds & FieldKind.CONTENT_LENGTH) !== 0);
  return field && /^\d{1,15}$/.test(field.value) ? Number(field.value) : NO_FRAMING;
}
