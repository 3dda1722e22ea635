import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, test } from "vitest";
import { readInto } from "../../../sidecar/front/read-into.ts";

async function accepted(serve: (socket: Socket) => void): Promise<{ client: Socket; close: () => Promise<void> }> {
  const server = createServer({ allowHalfOpen: true }, serve);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(client, "connect");
  return {
    client,
    async close() {
      client.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("every read lands in the buffer that was given, and the end is told", async () => {
  const buffer = Buffer.alloc(1024);
  const text = Promise.withResolvers<string>();
  const memories = new Set<ArrayBufferLike>();
  const { client, close } = await accepted((socket) => {
    let received = "";
    readInto(socket, buffer, (chunk) => {
      memories.add(chunk.buffer);
      received += chunk.toString("latin1");
    });
    socket.on("end", () => {
      socket.end();
      text.resolve(received);
    });
  });
  const sent = "0123456789".repeat(1000);
  client.end(sent);
  expect(await text.promise).toBe(sent);
  expect([...memories]).toEqual([buffer.buffer]);
  await close();
});

test("a paused socket reads nothing until it is resumed", async () => {
  const buffer = Buffer.alloc(16);
  const paused = Promise.withResolvers<Socket>();
  const whole = Promise.withResolvers<string>();
  let received = "";
  const { client, close } = await accepted((socket) => {
    readInto(socket, buffer, (chunk) => {
      received += chunk.toString("latin1");
      if (received.length === buffer.length) {
        socket.pause();
        paused.resolve(socket);
      }
      if (received.length === 2 * buffer.length) whole.resolve(received);
    });
  });
  client.write("a".repeat(16));
  const socket = await paused.promise;
  client.write("b".repeat(16));
  // A round trip through the same event loop: what was to be read would have been.
  const other = createServer((peer) => peer.end("x")).listen(0, "127.0.0.1");
  await once(other, "listening");
  await once(connect((other.address() as AddressInfo).port, "127.0.0.1"), "data");
  other.close();
  expect(received).toBe("a".repeat(16));
  socket.resume();
  expect(await whole.promise).toBe("a".repeat(16) + "b".repeat(16));
  socket.destroy();
  await close();
});
