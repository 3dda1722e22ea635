/** A connection is silent when it has said nothing, not when nobody has listened. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { watchSilence } from "../../../sidecar/detect/silence.ts";

const server = createServer({ pauseOnConnect: true });
let client: Socket;
let accepted: Socket;
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  [accepted] = (await once(server, "connection")) as [Socket];
});
afterAll(() => {
  client.destroy();
  accepted.destroy();
  server.close();
});

it("what came while the process was busy is heard first", async () => {
  await new Promise<void>((resolve) => void client.write("hello", () => resolve()));
  const happened: string[] = [];
  const heard = watchSilence(() => happened.push("silent"));
  accepted.once("data", () => {
    happened.push("heard");
    heard();
  });
  accepted.resume();
  // Longer than anybody may be silent, without a look at what has come.
  for (const end = performance.now() + 400; performance.now() < end;);
  await delay(1);
  await new Promise(setImmediate);
  expect(happened).toEqual(["heard"]);
});

it("who says nothing is silent, once", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  let times = 0;
  watchSilence(() => {
    times++;
    resolve();
  });
  await promise;
  await new Promise(setImmediate);
  expect(times).toBe(1);
});
