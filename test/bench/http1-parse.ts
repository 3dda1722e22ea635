/**
 * What parsing and writing a head costs, in nanoseconds of one core: `bin/node26 test/bench/http1-parse.ts`.
 * Bytes are pushed as a socket would hand them over: one reused buffer, one head a push.
 */
import { createField } from "../../common/http/field.ts";
import type { RequestHead } from "../../common/http/message.ts";
import { createRequestParser } from "../../sidecar/http1/request-parser.ts";
import { createResponseParser } from "../../sidecar/http1/response-parser.ts";
import { NO_FRAMING, writeRequestHead } from "../../sidecar/http1/write-head.ts";

const rounds = 7;
const headsARound = 200_000;

function measure(name: string, once: (index: number) => void): void {
  const nanoseconds: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const before = process.cpuUsage();
    for (let index = 0; index < headsARound; index++) once(index);
    const { user, system } = process.cpuUsage(before);
    nanoseconds.push((1000 * (user + system)) / headsARound);
  }
  const median = nanoseconds.toSorted((a, b) => a - b)[rounds >> 1] as number;
  process.stdout.write(`${name.padEnd(52)} ${median.toFixed(0).padStart(6)} ns\n`);
}

const block =
  "Host: orders.shop.internal:8080\r\nUser-Agent: curl/8.9.1\r\nAccept: application/json\r\n" +
  "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nX-Tenant: 4711\r\n";

/** As many variants as a socket buffer that is filled anew for each read would show. */
function heads(make: (index: number) => string): Buffer[] {
  return Array.from({ length: 1000 }, (_, index) => Buffer.from(make(index), "latin1"));
}

let failed = "";
let lastHead: RequestHead | undefined;
const requests = createRequestParser({
  onRequest: (head) => {
    lastHead = head;
  },
  onBody: () => {},
  onEnd: () => requests.resume(),
  onError: (error) => {
    failed = error.code;
  },
});
const socketBuffer = Buffer.alloc(64 * 1024);

function pushEach(name: string, messages: Buffer[]): void {
  measure(name, (index) => {
    const message = messages[index % messages.length] as Buffer;
    message.copy(socketBuffer);
    requests.push(socketBuffer.subarray(0, message.length));
  });
}

measure("nothing (copying and slicing the read)", (index) => {
  socketBuffer.copy(socketBuffer, 4096, 0, 200 + (index & 1));
  socketBuffer.subarray(0, 200);
});
pushEach(
  "GET, 6 fields, the same head",
  heads(() => `GET /orders/17 HTTP/1.1\r\n${block}\r\n`),
);
pushEach(
  "GET, 6 fields, varying path",
  heads((index) => `GET /orders/${index}?page=${index % 7}&size=50 HTTP/1.1\r\n${block}\r\n`),
);
let unique = 0;
measure("GET, 6 fields and a trace id that never repeats", () => {
  const length = socketBuffer.write(
    `GET /orders/17 HTTP/1.1\r\n${block}traceparent: 00-${(unique++).toString(16).padStart(32, "0")}-01\r\n\r\n`,
    "latin1",
  );
  requests.push(socketBuffer.subarray(0, length));
});
pushEach(
  "POST, 8 fields, 200 bytes of body",
  heads(() => `POST /orders HTTP/1.1\r\n${block}Content-Type: application/json\r\nContent-Length: 200\r\n\r\n${"x".repeat(200)}`),
);
pushEach(
  "POST, 8 fields, one chunk of 200 bytes",
  heads(
    () =>
      `POST /orders HTTP/1.1\r\n${block}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n` +
      `c8\r\n${"x".repeat(200)}\r\n0\r\n\r\n`,
  ),
);

const responses = createResponseParser({
  onInformational: () => {},
  onResponse: () => {},
  onBody: () => {},
  onEnd: () => {},
  onError: (error) => {
    failed = error.code;
  },
});
const response = Buffer.from(
  "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 01 Jan 2029 00:00:00 GMT\r\nContent-Type: text/plain\r\n" +
    `Content-Length: 63\r\nConnection: keep-alive\r\n\r\n${"x".repeat(63)}`,
);
measure("response, 5 fields, 63 bytes of body", () => {
  response.copy(socketBuffer);
  responses.expect("GET");
  responses.push(socketBuffer.subarray(0, response.length));
});

const added = [createField("x-request-from", "spiffe://shop.internal/ns/shop/sa/storefront")];
const text = Buffer.alloc(4096);
measure("write a request head of 6 and 1 fields", () => {
  if (lastHead === undefined) throw new Error("nothing was parsed");
  text.write(writeRequestHead(lastHead.method, lastHead.target, lastHead.authority, lastHead.fields, NO_FRAMING, added), "latin1");
});
if (failed !== "") throw new Error(`a parser refused the benchmark's own message: ${failed}`);
