/**
 * What the HTTP/2 codec costs: a client's and a server's in one process, in memory, 32 requests at a time, each with 12 fields
 * of which 3 change, answered by 4 fields and 63 bytes. Prints microseconds a request for both sides together.
 *
 *     bin/node26 test/bench/http2-codec.ts [seconds]
 */
import { createField, type Field } from "../../common/http/field.ts";
import { createHttp2Connection, type Http2Connection, type Http2Handler } from "../../sidecar/http2/connection.ts";

const CONCURRENT = 32;
const ignore = (): void => {};
const now = (): number => performance.now();
const body = Buffer.alloc(63, "x");

const fixedFields = [
  createField("accept", "*/*"),
  createField("user-agent", "storefront/1.2"),
  createField("accept-encoding", "gzip, deflate"),
  createField("x-request-class", "interactive"),
  createField("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
  createField("x-amz-security-token", "t".repeat(700)),
  createField("x-countersign-audience", "spiffe://example.org/ns/shop/sa/orders"),
  createField("content-type", "application/json"),
  createField("x-tenant", "blue"),
];
const responseFields = [
  createField("content-type", "application/json"),
  createField("server", "orders"),
  createField("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
  createField("content-length", "63"),
];
const signatures = Array.from(
  { length: 64 },
  (_, i) =>
    `AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/mesh/orders/aws4_request, SignedHeaders=accept;content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token;x-countersign-audience;x-countersign-sequence;x-tenant, Signature=${i.toString(16).padStart(64, "0")}`,
);

function fieldsOf(request: number): Field[] {
  return fixedFields.concat(
    createField("x-amz-date", `20260101T0000${String((request >> 14) % 60).padStart(2, "0")}Z`),
    createField("x-countersign-sequence", String(1_000_000 + request)),
    createField("authorization", signatures[request & 63]!),
  );
}

const idle: Http2Handler = {
  onRequest: ignore,
  onResponse: ignore,
  onInformational: ignore,
  onData: ignore,
  onTrailers: ignore,
  onReset: ignore,
  onWritable: ignore,
  onGoaway: ignore,
  onSettings: ignore,
  onPong: ignore,
  onOutput: ignore,
  onFatal: (error) => {
    throw error;
  },
};

let answered = 0;
const server: Http2Connection = createHttp2Connection({
  role: "server",
  now,
  handler: {
    ...idle,
    onRequest(stream) {
      server.respond(stream, 200, responseFields, false);
      server.sendData(stream, body, true);
    },
  },
});
const client: Http2Connection = createHttp2Connection({
  role: "client",
  now,
  handler: {
    ...idle,
    onData(stream, chunk, endStream) {
      client.consumed(stream, chunk.length);
      if (endStream) answered++;
    },
  },
});

function exchange(): void {
  for (;;) {
    const toServer = client.takeOutput();
    const toClient = server.takeOutput();
    if (toServer === undefined && toClient === undefined) return;
    if (toServer !== undefined) server.receive(toServer);
    if (toClient !== undefined) client.receive(toClient);
  }
}

/** CPU of the process since `began`, in microseconds. */
function cpuSince(began: NodeJS.CpuUsage): number {
  const used = process.cpuUsage(began);
  return used.user + used.system;
}

/** Runs batches of requests for a time; without `send` it only makes their fields. Returns CPU microseconds a request. */
function run(milliseconds: number, send: boolean): number {
  const head = { method: "GET", scheme: "https", authority: "orders.shop", path: "/v1/orders/42" };
  let requests = 0;
  const before = answered;
  const began = process.cpuUsage();
  const end = now() + milliseconds;
  while (now() < end) {
    const batch: Field[][] = [];
    for (let i = 0; i < CONCURRENT; i++) batch.push(fieldsOf(requests++));
    if (!send) continue;
    for (const fields of batch) client.request(head, fields, true);
    exchange();
  }
  if (send && answered - before !== requests) throw new Error(`${requests - (answered - before)} requests were not answered`);
  return cpuSince(began) / requests;
}

exchange();
const milliseconds = Number(process.argv[2] ?? 2) * 1000;
run(500, true);
for (let round = 0; round < 3; round++) {
  const fields = run(milliseconds / 4, false);
  const both = run(milliseconds, true) - fields;
  process.stdout.write(`${both.toFixed(2)} µs a request, both sides (making their fields took ${fields.toFixed(2)} µs more)\n`);
}
