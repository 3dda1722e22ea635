/** Served to grpc-js: unary and the three streaming kinds, metadata, failures, deadlines, cancellation, large messages. */
import { once } from "node:events";
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bytesOf, startSite, type Site } from "./site.ts";

const identity = (bytes: Buffer): Buffer => bytes;
const echo = "/test.Echo/Echo";

describe("grpc-js", () => {
  let site: Site;
  let client: Client;
  beforeAll(async () => {
    site = await startSite();
    client = new Client(`127.0.0.1:${site.port}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
    });
  });
  afterAll(async () => {
    client.close();
    await site[Symbol.asyncDispose]();
  });

  function unary(path: string, message: Buffer, options: { deadline?: number } = {}): Promise<Buffer | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    client.makeUnaryRequest(path, identity, identity, message, new Metadata(), options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
    return promise;
  }

  it("calls", async () => {
    expect(await unary(echo, Buffer.from("hello"))).toEqual(Buffer.from("hello"));
    expect(await unary(echo, Buffer.alloc(0))).toEqual(Buffer.alloc(0));
  });

  it("calls with 8 MiB", async () => {
    const message = bytesOf(8 << 20);
    expect((await unary(echo, message))!.equals(message)).toBe(true);
  });

  it("calls a thousand times at once", async () => {
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => unary(echo, Buffer.from(`call ${i}`))));
    expect(answers.map(String)).toEqual(answers.map((_, i) => `call ${i}`));
    expect(site.transports.size).toBe(1);
  });

  it("hears a failure without a message", async () => {
    await expect(unary("/test.Echo/Fail", Buffer.from("x"))).rejects.toMatchObject({ code: status.NOT_FOUND, details: "no such thing" });
  });

  it("is streamed to", async () => {
    const stream = client.makeServerStreamRequest("/test.Echo/Repeat", identity, identity, Buffer.from("again"));
    expect((await stream.toArray()).map(String)).toEqual(["again", "again", "again"]);
  });

  it("streams", async () => {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer | undefined>();
    const stream = client.makeClientStreamRequest("/test.Echo/Join", identity, identity, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
    for (const word of ["one ", "two ", "three"]) stream.write(Buffer.from(word));
    stream.end();
    expect(String(await promise)).toBe("one two three");
  });

  it("streams both ways, message by message, with metadata before and behind", async () => {
    const stream = client.makeBidiStreamRequest(echo, identity, identity);
    const initial = once(stream, "metadata") as Promise<[Metadata]>;
    const final = once(stream, "status") as Promise<[{ code: number; metadata: Metadata }]>;
    for (let i = 0; i < 50; i++) {
      const heard = once(stream, "data") as Promise<[Buffer]>;
      stream.write(Buffer.from(`message ${i}`));
      expect(String((await heard)[0])).toBe(`message ${i}`);
    }
    stream.end();
    expect((await initial)[0].get("x-initial")).toEqual(["metadata"]);
    const [{ code, metadata }] = await final;
    expect([code, metadata.get("x-final")]).toEqual([status.OK, ["metadata"]]);
  });

  it("gives up at its deadline, and we learn of it", async () => {
    const before = site.resets.length;
    await expect(unary("/test.Echo/Wait", Buffer.from("x"), { deadline: Date.now() + 200 })).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
    });
    await site.until(() => site.resets.length > before);
    expect(site.resets.at(-1)).toEqual({ path: "/test.Echo/Wait", code: "CANCEL" });
  });

  it("cancels", async () => {
    const before = site.resets.length;
    const stream = client.makeBidiStreamRequest("/test.Echo/Wait", identity, identity);
    stream.write(Buffer.from("first"));
    await site.until(() => [...site.transports].some(({ connection }) => connection.streamCount() > 0));
    const failed = once(stream, "error") as Promise<[ServiceError]>;
    stream.cancel();
    expect((await failed)[0].code).toBe(status.CANCELLED);
    await site.until(() => site.resets.length > before);
    expect(site.resets.at(-1)).toEqual({ path: "/test.Echo/Wait", code: "CANCEL" });
  });

  it("is drained without losing a call, and connects anew", async () => {
    const answers = Promise.all(Array.from({ length: 200 }, (_, i) => unary(echo, Buffer.from(`call ${i}`))));
    for (const transport of site.transports) void transport.close(10_000);
    expect(await answers).toHaveLength(200);
    await site.until(() => site.transports.size === 0);
    expect(String(await unary(echo, Buffer.from("anew")))).toBe("anew");
    expect(site.errors).toEqual([]);
  });
});
