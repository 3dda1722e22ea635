import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type ListenOptions, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { listen, ListenError } from "../../../common/runtime/listen.ts";

const node = join(import.meta.dirname, "../../../bin/node26");
const listener = `
  import { createServer } from "node:net";
  import { listen } from ${JSON.stringify(join(import.meta.dirname, "../../../common/runtime/listen.ts"))};
  const server = createServer((socket) => { socket.end("inherited"); server.close(); });
  const address = await listen(server, { fd: 3 }, "inbound");
  process.stdout.write(JSON.stringify(address) + "\\n");
`;

test("on a port that the kernel chooses, and not twice on the same", async () => {
  await using server = createServer();
  const address = await listen(server, { host: "127.0.0.1", port: 0 });
  expect(address).toEqual({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  await expect(listen(createServer(), address, "inbound")).rejects.toMatchObject({
    code: "address-in-use",
    message: `inbound address 127.0.0.1:${address.port} is in use by another program`,
  });
});

test("on a socket that another process has bound", async () => {
  await using server = createServer();
  const address = await listen(server, { host: "127.0.0.1", port: 0 });
  const { _handle: handle } = server as unknown as { readonly _handle: object };
  const child = spawn(node, ["--input-type=module-typescript", "-e", listener], { stdio: ["ignore", "pipe", "inherit", handle as Socket] });
  const [bound] = (await once(createInterface({ input: child.stdout as Readable }), "line")) as [string];
  server.close();
  const socket = connect(address.port, address.host);
  expect(await text(socket)).toBe("inherited");
  expect(JSON.parse(bound)).toEqual(address);
});

test("a descriptor that is no socket is named", async () => {
  const refused = listen(createServer(), { fd: 999 }, "inbound");
  await expect(refused).rejects.toBeInstanceOf(ListenError);
  await expect(refused).rejects.toMatchObject({
    code: "address-refused",
    message: expect.stringContaining("inbound socket fd:999") as string,
  });
});

test("every address is that of IPv4 where the kernel has no IPv6", async () => {
  await using server = createServer();
  const listenHere = server.listen.bind(server) as (options: ListenOptions) => typeof server;
  // As Node says it of a kernel that was started with ipv6.disable=1.
  server.listen = ((options: ListenOptions) => {
    if (options.host !== "::") return listenHere(options);
    setImmediate(() => server.emit("error", Object.assign(new Error("listen EAFNOSUPPORT ::"), { code: "EAFNOSUPPORT" })));
    return server;
  }) as typeof server.listen;
  expect(await listen(server, { host: "::", port: 0 })).toMatchObject({ host: "0.0.0.0" });
});
