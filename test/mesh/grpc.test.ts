/** gRPC between an unmodified grpc-js client and server, each beside its sidecar. */
import { once } from "node:events";
import {
  Client,
  credentials,
  Metadata,
  status,
  type CallOptions,
  type ClientUnaryCall,
  type Server,
  type StatusObject,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { answering, bytes, definition, serveGrpc, unlimited } from "./grpc-application.ts";
import { until } from "./harness.ts";
import { startPair, type Pair } from "./pair.ts";

const text = (value: Buffer | undefined): string => String(value);
const megabyte = Buffer.alloc(1024 * 1024, "0123456789abcdef");

let pair: Pair;
let server: Server;
let fragile: Server;
const clients = new Map<string, Client>();

beforeAll(async () => {
  const main = await serveGrpc();
  const second = await serveGrpc();
  server = main.server;
  fragile = second.server;
  pair = await startPair(main.port, second.port);
});
afterAll(async () => {
  for (const client of clients.values()) client.close();
  await pair?.mesh.stop();
  server?.forceShutdown();
  fragile?.forceShutdown();
});

/** A channel to the outbound port, in plaintext, whose authority is the service. */
function to(service: string): Client {
  let client = clients.get(service);
  if (!client) {
    client = new Client(pair.outbound, credentials.createInsecure(), {
      ...unlimited,
      "grpc.default_authority": service,
      "grpc.enable_retries": 0,
    });
    clients.set(service, client);
  }
  return client;
}

interface UnaryOutcome {
  readonly value: Buffer | undefined;
  readonly initial: Metadata | undefined;
  readonly status: StatusObject;
}

interface UnaryOptions extends CallOptions {
  readonly metadata?: Metadata;
  readonly service?: string;
  readonly started?: (call: ClientUnaryCall) => void;
}

async function unary(message: Buffer | string, { metadata = new Metadata(), service = "target", started, ...options }: UnaryOptions = {}) {
  const { promise, resolve } = Promise.withResolvers<UnaryOutcome>();
  let value: Buffer | undefined;
  let initial: Metadata | undefined;
  const call = to(service).makeUnaryRequest<Buffer, Buffer>(
    definition.Unary.path,
    bytes,
    bytes,
    Buffer.from(message),
    metadata,
    options,
    (_error, answer) => (value = answer),
  );
  call.on("metadata", (received: Metadata) => (initial = received));
  call.on("status", (received: StatusObject) => resolve({ value, initial, status: received }));
  started?.(call);
  return await promise;
}

function chat(service = "target") {
  return to(service).makeBidiStreamRequest<Buffer, Buffer>(definition.Chat.path, bytes, bytes);
}

/** Of a call whose failure is expected: it comes as an error, too. */
function statusOf(call: NodeJS.EventEmitter): Promise<StatusObject> {
  const { promise, resolve } = Promise.withResolvers<StatusObject>();
  call.on("error", () => undefined);
  call.on("status", resolve);
  return promise;
}

test("unary, from nothing to 4 MiB and back", async () => {
  for (const size of [0, 1, 5, 1000, 65_531, 65_536, 4 * 1024 * 1024]) {
    const message = Buffer.alloc(size, "gRPC");
    const { value, status: end } = await unary(message);
    expect(end.code).toBe(status.OK);
    expect(value?.equals(message)).toBe(true);
  }
});

test("metadata and trailers arrive both ways, binary ones too", async () => {
  let seen: Metadata | undefined;
  const blob = Buffer.from([0, 1, 2, 0xff, 0xfe, 10, 13]);
  using _ = answering({
    unary(call, answer) {
      seen = call.metadata;
      const initial = new Metadata();
      initial.set("x-initial", "first");
      initial.set("x-initial-bin", blob);
      call.sendMetadata(initial);
      const trailing = new Metadata();
      trailing.set("x-trailing", "last");
      trailing.set("x-trailing-bin", blob);
      answer(null, Buffer.from("ok"), trailing);
    },
  });
  const metadata = new Metadata();
  metadata.add("x-question", "one");
  metadata.add("x-question", "two");
  metadata.set("x-question-bin", blob);
  metadata.set("authorization", "Bearer mine");
  const { initial, status: end } = await unary("hello", { metadata });
  expect(seen?.get("x-question").join(", ")).toBe("one, two");
  expect(seen?.get("x-question-bin")).toEqual([blob]);
  expect(seen?.get("authorization")).toEqual(["Bearer mine"]);
  expect(seen?.get("x-countersign-peer")).toEqual(["spiffe://test.example/ns/shop/sa/caller"]);
  expect(initial?.get("x-initial")).toEqual(["first"]);
  expect(initial?.get("x-initial-bin")).toEqual([blob]);
  expect(end.code).toBe(status.OK);
  expect(end.metadata.get("x-trailing")).toEqual(["last"]);
  expect(end.metadata.get("x-trailing-bin")).toEqual([blob]);
});

describe("streaming", () => {
  test("from the client: a thousand messages", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const call = to("target").makeClientStreamRequest<Buffer, Buffer>(definition.Collect.path, bytes, bytes, (error, value) =>
      error ? reject(error) : resolve(value),
    );
    const parts = Array.from({ length: 1000 }, (_, index) => `m${index} `);
    for (const each of parts) call.write(Buffer.from(each));
    call.end();
    expect(text(await promise)).toBe(parts.join(""));
  });

  test("from the server: a thousand messages", async () => {
    const call = to("target").makeServerStreamRequest<Buffer, Buffer>(definition.Spread.path, bytes, bytes, Buffer.from("1000"));
    const got = await call.toArray();
    expect(got.map(text)).toEqual(Array.from({ length: 1000 }, (_, index) => `n${index}`));
  });

  test("both ways: a thousand messages, each sent when the last has come back", async () => {
    const call = chat();
    const ended = statusOf(call);
    for (let index = 0; index < 1000; index++) {
      call.write(Buffer.from(`ping ${index}`));
      const [echo] = (await once(call, "data")) as [Buffer];
      expect(text(echo)).toBe(`ping ${index}`);
    }
    call.end();
    expect((await ended).code).toBe(status.OK);
  });

  test("both ways at once: 16 MiB", async () => {
    const call = chat();
    const ended = statusOf(call);
    let received = 0;
    call.on("data", (each: Buffer) => (received += each.length));
    for (let index = 0; index < 16; index++) if (!call.write(megabyte)) await once(call, "drain");
    call.end();
    expect((await ended).code).toBe(status.OK);
    expect(received).toBe(16 * megabyte.length);
  });

  test("the server may answer before the client is done", async () => {
    using _ = answering({ collect: (call, answer) => void call.once("data", () => answer(null, Buffer.from("enough"))) });
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const call = to("target").makeClientStreamRequest<Buffer, Buffer>(definition.Collect.path, bytes, bytes, (error, value) =>
      error ? reject(error) : resolve(value),
    );
    call.on("error", () => undefined);
    call.write(Buffer.from("first"));
    expect(text(await promise)).toBe("enough");
  });
});

describe("how calls end otherwise", () => {
  test("an error's status, details and trailers", async () => {
    using _ = answering({
      unary(_call, answer) {
        const metadata = new Metadata();
        metadata.set("grpc-status-details-bin", Buffer.from([8, 9, 18, 1, 120]));
        answer({ code: status.FAILED_PRECONDITION, details: "nicht jetzt: später, 100 %", metadata });
      },
    });
    const { status: end } = await unary("x");
    expect(end).toMatchObject({ code: status.FAILED_PRECONDITION, details: "nicht jetzt: später, 100 %" });
    expect(end.metadata.get("grpc-status-details-bin")).toEqual([Buffer.from([8, 9, 18, 1, 120])]);
  });

  test("a method that nobody implements", async () => {
    const call = to("target").makeBidiStreamRequest<Buffer, Buffer>("/test.Mesh/Nothing", bytes, bytes);
    expect((await statusOf(call)).code).toBe(status.UNIMPLEMENTED);
  });

  test("a deadline: the server sees it, and is told when it has passed", async () => {
    const cancelled = Promise.withResolvers<void>();
    let deadline: unknown;
    using _ = answering({
      unary(call) {
        deadline = call.getDeadline();
        call.on("cancelled", () => cancelled.resolve());
      },
    });
    const due = Date.now() + 300;
    const { status: end } = await unary("x", { deadline: due });
    expect(end.code).toBe(status.DEADLINE_EXCEEDED);
    await cancelled.promise;
    expect(Number(deadline)).toBeGreaterThan(due - 250);
    expect(Number(deadline)).toBeLessThan(due + 250);
  });

  test("cancellation by the client reaches the server", async () => {
    const begun = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    using _ = answering({
      unary(call) {
        call.on("cancelled", () => cancelled.resolve());
        begun.resolve();
      },
    });
    const { status: end } = await unary("x", { started: (call) => void begun.promise.then(() => call.cancel()) });
    expect(end.code).toBe(status.CANCELLED);
    await cancelled.promise;
  });

  test("cancellation of a stream reaches the server", async () => {
    const cancelled = Promise.withResolvers<void>();
    using _ = answering({
      chat(call) {
        call.on("cancelled", () => cancelled.resolve());
        call.on("data", (each: Buffer) => call.write(each));
      },
    });
    const call = chat();
    const ended = statusOf(call);
    call.write(Buffer.from("x"));
    await once(call, "data");
    call.cancel();
    expect((await ended).code).toBe(status.CANCELLED);
    await cancelled.promise;
  });
});

/** Less than that is on its way between a program that sends and one that does not read: windows, queues and sockets. */
const underWay = 6 * megabyte.length;
const part = megabyte.subarray(0, 32 * 1024);
const total = 24 * megabyte.length;

describe("flow control", () => {
  // How much of it grpc-js itself takes from a server before it holds it back is its own affair; http2-applications.test.ts measures.
  test("a client that does not read holds back no other call of its connection", async () => {
    let written = 0;
    using _ = answering({
      spread(call) {
        const more = () => {
          while (written < total) {
            written += part.length;
            if (!call.write(part)) {
              call.once("drain", more);
              return;
            }
          }
          call.end();
        };
        more();
      },
    });
    const call = to("target").makeServerStreamRequest<Buffer, Buffer>(definition.Spread.path, bytes, bytes, Buffer.from("x"));
    await once(call, "metadata");
    await until("the server has begun", () => written > 4 * part.length);
    for (let index = 0; index < 50; index++) expect((await unary("still here")).status.code).toBe(status.OK);
    let received = 0;
    for await (const each of call as AsyncIterable<Buffer>) received += each.length;
    expect(received).toBe(total);
  });

  test("a server that does not read holds back its client, and no other call", async () => {
    const reading = Promise.withResolvers<void>();
    using _ = answering({
      collect(call, answer) {
        let received = 0;
        void reading.promise.then(() => {
          call.on("data", (each: Buffer) => (received += each.length));
          call.on("end", () => answer(null, Buffer.from(String(received))));
        });
      },
    });
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const call = to("target").makeClientStreamRequest<Buffer, Buffer>(definition.Collect.path, bytes, bytes, (error, value) =>
      error ? reject(error) : resolve(value),
    );
    let sent = 0;
    const all = (async () => {
      for (; sent < total; sent += part.length) if (!call.write(part)) await once(call, "drain");
      call.end();
    })();
    await until("the client has begun", () => sent > 4 * part.length);
    for (let index = 0; index < 50; index++) expect((await unary("still here")).status.code).toBe(status.OK);
    expect(sent).toBeLessThan(underWay);
    reading.resolve();
    await all;
    expect(text(await promise)).toBe(String(total));
  });
});

test("a thousand calls at once", async () => {
  const outcomes = await Promise.all(Array.from({ length: 1000 }, (_, index) => unary(`call ${index}`)));
  expect(outcomes.map(({ value }) => text(value))).toEqual(outcomes.map((_, index) => `call ${index}`));
});

describe("refusals are gRPC's own", () => {
  test("of a policy: PERMISSION_DENIED with the reason", async () => {
    const { status: end } = await unary("x", { service: "guarded" });
    expect(end).toMatchObject({ code: status.PERMISSION_DENIED, details: "no-allow" });
    expect(end.metadata.get("x-countersign-reason")).toEqual(["no-allow"]);
    expect(end.metadata.get("x-countersign-decision")).toHaveLength(1);
  });

  test("of a policy, to a stream", async () => {
    const call = chat("guarded");
    call.write(Buffer.from("x"));
    expect(await statusOf(call)).toMatchObject({ code: status.PERMISSION_DENIED, details: "no-allow" });
  });

  test.each([
    ["nobody", "unknown-destination"],
    ["absent", "upstream-refused"],
  ])("of a call to %s: UNAVAILABLE, %s", async (service, reason) => {
    expect((await unary("x", { service })).status).toMatchObject({ code: status.UNAVAILABLE, details: reason });
  });
});

test("a server that dies in the middle of calls: UNAVAILABLE, whether or not it had begun to answer", async () => {
  const begun = Promise.withResolvers<void>();
  using _ = answering({ unary: () => begun.resolve() });
  const silent = unary("x", { service: "fragile" });
  const call = chat("fragile");
  const ended = statusOf(call);
  call.write(Buffer.from("hello"));
  await once(call, "data");
  await begun.promise;
  fragile.forceShutdown();
  expect((await silent).status.code).toBe(status.UNAVAILABLE);
  expect(await ended).toMatchObject({ code: status.UNAVAILABLE, details: "upstream-failed" });
  expect((await unary("x", { service: "fragile" })).status).toMatchObject({ code: status.UNAVAILABLE, details: "upstream-refused" });
});
