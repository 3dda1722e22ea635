/** Where redirected connections were going, as the kernel tells it; every rule and every connection here is a real one. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOriginalDestination, interceptModes, type InterceptMode } from "../../../sidecar/intercept/original-destination.ts";
import { createNetwork, withoutNamespaces, type Host, type Network } from "../../mesh/namespaces.ts";
import { answering, call } from "./calls.ts";

/** What the sidecar says of a connection that nobody redirected. */
async function direct(host: string, mode: InterceptMode, listener: "outbound" | "inbound"): Promise<unknown> {
  const server = createServer();
  const destination = createOriginalDestination(mode, listener, server);
  server.listen(0, host);
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = connect((server.address() as AddressInfo).port, host);
  const [socket] = await accepted;
  const found = destination(socket);
  client.destroy();
  socket.destroy();
  expect(destination(socket)).toBeUndefined();
  server.close();
  return found;
}

describe.skipIf(process.platform !== "linux")("a connection that was not redirected", () => {
  test.each(interceptModes.flatMap((mode) => (["outbound", "inbound"] as const).map((listener) => [mode, listener] as const)))(
    "has none: %s, %s",
    async (mode, listener) => {
      expect(await direct("127.0.0.1", mode, listener)).toBeUndefined();
      expect(await direct("::1", mode, listener)).toBeUndefined();
    },
  );
});

const missing = withoutNamespaces();

describe.skipIf(missing !== undefined)(`redirected by the kernel${missing === undefined ? "" : ` (${missing})`}`, () => {
  let network: Network;
  let workload: Host;
  let client: Host;
  beforeAll(async () => {
    network = await createNetwork(["workload", "client"]);
    workload = network.host("workload");
    client = network.host("client");
    const rules = `table inet test {
      chain output { type nat hook output priority -100; tcp dport { 80, 443 } redirect to :15001; }
      chain prerouting { type nat hook prerouting priority -100; tcp dport 8080 redirect to :15006; }
    }`;
    await workload.must("nft", rules);
    const program = workload.start(answering("outbound=15001:redirect:outbound", "inbound=15006:redirect:inbound", "off=15002"));
    await program.line((line) => line.startsWith("ready"));
  });
  afterAll(() => network[Symbol.asyncDispose]());

  test("outbound, IPv4 and IPv6, to addresses where nobody listens", async () => {
    expect(await call(workload, [`${client.v4}:80`, `[${client.v6}]:443`, `${workload.v4}:80`, `[${workload.v6}]:80`])).toEqual([
      { name: "outbound", original: `${client.v4}:80`, from: workload.v4 },
      { name: "outbound", original: `[${client.v6}]:443`, from: workload.v6 },
      { name: "outbound", original: `${workload.v4}:80`, from: workload.v4 },
      { name: "outbound", original: `[${workload.v6}]:80`, from: workload.v6 },
    ]);
  });

  test("inbound, IPv4 and IPv6, and the client keeps its address", async () => {
    expect(await call(client, [`${workload.v4}:8080`, `[${workload.v6}]:8080`])).toEqual([
      { name: "inbound", original: `${workload.v4}:8080`, from: client.v4 },
      { name: "inbound", original: `[${workload.v6}]:8080`, from: client.v6 },
    ]);
  });

  test("a direct connection has none, though the kernel tracks it", async () => {
    expect(await call(workload, ["127.0.0.1:15001", "[::1]:15001"])).toEqual([
      { name: "outbound", from: "127.0.0.1" },
      { name: "outbound", from: "::1" },
    ]);
    expect(await call(client, [`${workload.v4}:15006`, `[${workload.v6}]:15006`])).toEqual([
      { name: "inbound", from: client.v4 },
      { name: "inbound", from: client.v6 },
    ]);
  });

  test("with interception off there is none either", async () => {
    expect(await call(client, [`${workload.v4}:15002`])).toEqual([{ name: "off", from: client.v4 }]);
  });
});
