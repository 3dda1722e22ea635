import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { pageBody } from "../answers.ts";
import { runChurn } from "./churn.ts";
import { startRelay } from "./relay.ts";

const open: Server[] = [];
afterEach(() => {
  for (const server of open.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function portOf(server: Server): Promise<number> {
  open.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}

const never = new AbortController().signal;

test("every call goes over a connection of its own between the two", async () => {
  let connections = 0;
  const app = createServer((_request, response) => response.end(pageBody));
  app.on("connection", () => connections++);
  await using relay = await startRelay();
  relay.aim(await portOf(app));
  // The relay stands for the caller's proxy too: the agent's connection ends with each hang-up, and a new one is made.
  const calls = await runChurn({ origin: `http://127.0.0.1:${relay.port}`, host: "app" }, relay, 0.2, never);
  expect(calls).toBeGreaterThan(1);
  expect(connections).toBe(calls);
});

test("a call that is refused, or that needs no connection, fails it", async () => {
  const app = createServer((_request, response) => {
    response.statusCode = 403;
    response.end("no");
  });
  await using relay = await startRelay();
  const port = await portOf(app);
  relay.aim(port);
  const target = (to: number) => ({ origin: `http://127.0.0.1:${to}`, host: undefined });
  await expect(runChurn(target(relay.port), relay, 0.1, never)).rejects.toMatchObject({ code: "bad-response" });
  const direct = await portOf(createServer((_request, response) => response.end(pageBody)));
  await expect(runChurn(target(direct), relay, 0.1, never)).rejects.toMatchObject({ code: "bad-response" });
});
