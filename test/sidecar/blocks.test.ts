/** Memory that is used again: never by two at once, never without bound; and what it carries arrives. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { assert, integer, property } from "fast-check";
import { describe, expect, it } from "vitest";
import { giveBlock, smallestBlock, takeBlock, writeBlock, writeCopy } from "../../sidecar/blocks.ts";

describe("blocks", () => {
  it("are as large as they have to be, and one that was given back is the next", () => {
    assert(
      property(integer({ min: smallestBlock, max: 136 * 1024 }), (size) => {
        const block = takeBlock(size);
        expect(block.length).toBeGreaterThanOrEqual(size);
        const other = takeBlock(size);
        expect(other.buffer).not.toBe(block.buffer);
        giveBlock(block.subarray(0, 1));
        giveBlock(other);
        expect(takeBlock(size).buffer).toBe(other.buffer);
      }),
    );
  });

  it("end where they are not worth it", () => {
    for (const size of [0, 1, smallestBlock - 1, 136 * 1024 + 1, 1_000_000]) {
      const block = takeBlock(size);
      expect(block).toHaveLength(size);
      giveBlock(block);
      giveBlock(block);
    }
  });

  it("cannot be given back twice, by whatever view", () => {
    const block = takeBlock(20_000);
    giveBlock(block.subarray(0, 100));
    expect(() => giveBlock(block)).toThrow("twice");
    expect(takeBlock(20_000).buffer).toBe(block.buffer);
    giveBlock(block);
  });

  it("are not made of memory of others", () => {
    const foreign = Buffer.allocUnsafeSlow(17 * 1024);
    giveBlock(foreign);
    giveBlock(foreign);
    expect(takeBlock(17 * 1024).buffer).not.toBe(foreign.buffer);
    giveBlock(Buffer.from("small"));
  });

  it("are kept up to a bound", () => {
    const taken = Array.from({ length: 40 }, () => takeBlock(136 * 1024));
    for (const block of taken) giveBlock(block);
    const again = new Set(Array.from({ length: 40 }, () => takeBlock(136 * 1024).buffer));
    expect(taken.filter(({ buffer: memory }) => again.has(memory)).length * 136).toBeLessThanOrEqual(2 * 1024 + 136);
  });
});

describe("writing", () => {
  /** Takes what is written only when it is told to. */
  function slowWritable(): { writable: Writable; take: () => void; written: Buffer[] } {
    const written: Buffer[] = [];
    const callbacks: (() => void)[] = [];
    const writable = new Writable({
      write(chunk: Buffer, _encoding, callback) {
        written.push(chunk);
        callbacks.push(callback);
      },
    });
    return { writable, take: () => callbacks.shift()?.(), written };
  }

  it("keeps a block until the socket has taken it", async () => {
    const { writable, take, written } = slowWritable();
    const block = takeBlock(20_000);
    writeBlock(writable, block.subarray(0, 18_000));
    const meanwhile = takeBlock(20_000);
    expect(meanwhile.buffer).not.toBe(block.buffer);
    take();
    await new Promise(setImmediate);
    expect(takeBlock(20_000).buffer).toBe(block.buffer);
    expect(written.map(({ length }) => length)).toEqual([18_000]);
  });

  it("puts texts around a copy", () => {
    const { writable, take, written } = slowWritable();
    const chunk = Buffer.from("payload");
    writeCopy(writable, "before\r\n", chunk, "\r\nafter");
    chunk.fill(0);
    take();
    expect(String(written[0])).toBe("before\r\npayload\r\nafter");
  });

  it("hands over in one piece what one turn of the event loop had", async () => {
    const writes: Buffer[][] = [];
    const writable = new Writable({
      write(chunk: Buffer, _encoding, callback) {
        writes.push([Buffer.from(chunk)]);
        callback();
      },
      writev(parts: { chunk: Buffer }[], callback) {
        writes.push(parts.map(({ chunk }) => Buffer.from(chunk)));
        callback();
      },
    });
    const part = Buffer.alloc(16 * 1024, 1);
    for (let count = 0; count < 3; count++) writeCopy(writable, "", part, "");
    writable.write(Buffer.from("end"));
    expect(writes).toEqual([]);
    await new Promise(setImmediate);
    expect(writes.map((parts) => parts.map(({ length }) => length))).toEqual([[16_384, 16_384, 16_384, 3]]);
    writeCopy(writable, "", Buffer.from("small"), "");
    expect(writes.slice(1)).toEqual([[Buffer.from("small")]]);
  });

  it("arrives whole at a peer that reads slowly, whatever else is written meanwhile", async () => {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const received: Promise<Buffer>[] = [];
    const accepted = Promise.withResolvers<void>();
    server.on("connection", (socket) => {
      if (received.push(buffer(socket)) === 4) accepted.resolve();
    });
    const senders = Array.from({ length: 4 }, () => connect(port, "127.0.0.1"));
    await Promise.all([...senders.map((sender) => once(sender, "connect")), accepted.promise]);
    const scratch = Buffer.alloc(64 * 1024);
    await Promise.all(
      senders.map(async (sender, mark) => {
        for (let round = 0; round < 60; round++) {
          const part = scratch.subarray(0, 5000 + ((round * 7919) % 60_000));
          part.fill(mark + 1);
          if (!writeCopy(sender, "", part, "")) await once(sender, "drain");
        }
        sender.end();
      }),
    );
    const bodies = await Promise.all(received);
    // Each connection got one sender's bytes and no other's.
    expect(bodies.map((body) => new Set(body).size)).toEqual([1, 1, 1, 1]);
    expect(new Set(bodies.map((body) => body.length)).size).toBe(1);
    server.close();
  });
});
