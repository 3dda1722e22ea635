/**
 * Programs of other languages and protocols from plain manifests: a service in Python, a gRPC pair, Redis. Each is called by its
 * Service's name and told who calls, and on the bridge between the pods there is nothing but TLS 1.3.
 */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { startCapture, type Capture, type TcpStream } from "../mesh/capture.ts";
import { hostOf } from "../mesh/namespaces.ts";
import { ContentType, Extension, recordsOf, serverHelloExtensions, tls13, x25519MlKem768 } from "../mesh/tls-records.ts";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";
import { deployment } from "./manifests.ts";

const marker = "a-payload-in-clear";
const inboundPort = 15_006;
const image = (name: string): string => `countersign-test-${name}:dev`;
const names = ["python", "calculator", "redis", "adder"] as const;

describe.skipIf(missingOwnCluster !== undefined)(`programs that know nothing of the mesh${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;
  let capture: Capture;
  let addresses: Map<string, string>;

  beforeAll(async () => {
    cluster = ownCluster();
    const context = join(import.meta.dirname, "workloads");
    for (const target of ["python", "grpc", "redis"]) await cluster.buildImage({ name: image(target), context, target });
    await installMesh(cluster);
    namespace = await cluster.namespace("workloads", meshed);
    const command = ["python3", join(import.meta.dirname, "../mesh/programs/capture.py")];
    // Before the first pod, so that every connection between them is seen from its beginning.
    capture = await startCapture(hostOf(cluster.name, "", ""), command, join(cluster.folder, `wire-${namespace.name}`));
    const programs = [
      { name: "python", image: image("python"), command: ["python3", "/programs/service.py"], port: 8000 },
      {
        name: "calculator",
        image: image("grpc"),
        command: ["node", "grpc-server.ts"],
        port: 50_051,
        servicePort: 50_051,
        container: { readinessProbe: { grpc: { port: 50_051 }, periodSeconds: 1 } },
      },
      {
        name: "redis",
        image: image("redis"),
        command: ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""],
        port: 6379,
        servicePort: 6379,
      },
    ];
    const adder = { name: "adder", image: image("grpc"), command: ["sleep", "infinity"] };
    for (const program of [...programs, { ...adder, pod: { terminationGracePeriodSeconds: 1 } }]) {
      await cluster.apply(deployment({ ...program, serviceAccount: program.name }), ["--namespace", namespace.name]);
    }
    for (const name of names) await cluster.rollout(namespace.name, `deployment/${name}`);
    addresses = new Map(await Promise.all(names.map(async (name) => [await addressOf(name), name] as const)));
  }, 600_000);
  afterAll(async () => {
    await capture?.end();
    await namespace?.[Symbol.asyncDispose]();
  });

  async function addressOf(name: string): Promise<string> {
    const path = "jsonpath={.items[0].status.podIP}";
    return await cluster.kubectl(["--namespace", namespace.name, "get", "pods", "-l", `app=${name}`, "-o", path]);
  }
  async function inside(name: string, ...command: readonly string[]): Promise<string> {
    return await cluster.kubectl(["--namespace", namespace.name, "exec", `deployment/${name}`, "-c", name, "--", ...command]);
  }
  const id = (account: string): string => `spiffe://cluster.local/ns/${namespace.name}/sa/${account}`;

  const asked = z.object({ method: z.string(), path: z.string(), body: z.string(), from: z.string() });

  test("Python is called, and calls", async () => {
    const get = `fetch("http://python/items?x=1", { method: "POST", body: ${JSON.stringify(marker)} }).then(async (r) => console.log(await r.text()))`;
    const byNode = asked.parse(JSON.parse(await inside("calculator", "node", "--eval", get)));
    expect(byNode).toEqual({ method: "POST", path: "/items?x=1", body: marker, from: `By=${id("python")};URI=${id("calculator")}` });
    const urllib = `import urllib.request; print(urllib.request.urlopen("http://python/own", data=b"${marker}").read().decode())`;
    const byItself = asked.parse(JSON.parse(await inside("python", "python3", "-c", urllib)));
    expect(byItself).toMatchObject({ path: "/own", body: marker, from: `By=${id("python")};URI=${id("python")}` });
  });

  test("gRPC: a unary call and a stream both ways", async () => {
    const said = await inside("adder", "node", "grpc-client.ts", `calculator.${namespace.name}.svc.cluster.local:50051`, marker);
    const from = `By=${id("calculator")};URI=${id("adder")}`;
    expect(JSON.parse(said)).toEqual({ added: { sum: 6, from }, sums: [1, 3, 6, 10, 15] });
  });

  test("Redis: TCP, and the decision names who connected", async () => {
    const resp = (...words: readonly string[]): string =>
      `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
    const python = `import socket
s = socket.create_connection(("redis", 6379)); f = s.makefile("rb")
s.sendall(${JSON.stringify(resp("SET", "key", marker))}.encode()); print(f.readline().decode().strip())
s.sendall(${JSON.stringify(resp("GET", "key"))}.encode()); f.readline(); print(f.readline().decode().strip())`;
    expect(await inside("python", "python3", "-c", python)).toBe(`+OK\n${marker}\n`);
    const decision = await cluster.waitFor("the decision", async () => {
      const log = await cluster.logs(namespace.name, "deployment/redis", "-c", "countersign-proxy");
      return log.split("\n").find((line) => line.includes('"action":"redis:Connect"') && line.includes(`"peer":"${id("python")}"`));
    });
    expect(JSON.parse(decision)).toMatchObject({ decision: "allow", service: `redis.${namespace.name}`, method: "CONNECT" });
    const metrics = await cluster.must(["curl", "--silent", "--fail", `http://${await addressOf("redis")}:15020/metrics`]);
    expect(metrics).toMatch(new RegExp(String.raw`^countersign_inbound_\w+\{[^}]*redis\.${namespace.name}`, "m"));
  });

  test("between the pods there was nothing but TLS 1.3", async () => {
    const { streams, older, frames, dropped } = await capture.end();
    expect(dropped).toBe(0);
    const between = ({ from, to }: Pick<TcpStream, "from" | "to">): boolean => addresses.has(from.address) && addresses.has(to.address);
    expect(older.filter(([from, to]) => between({ from, to }))).toEqual([]);
    const seen = streams.filter((stream) => between(stream) && stream.bytes.length > 0);
    // To Python from the calculator, to the calculator from the adder, to Redis from Python: both ways of each.
    expect(new Set(seen.map(({ from, to }) => `${addresses.get(from.address)} ${addresses.get(to.address)}`)).size).toBeGreaterThanOrEqual(
      4,
    );
    for (const { from, to, opener, bytes } of seen) {
      expect([from.port, to.port]).toContain(inboundPort);
      const [hello, ...rest] = recordsOf(bytes);
      if (hello === undefined) throw new Error("a stream without a record");
      expect(hello.type).toBe(ContentType.handshake);
      const others = new Set(rest.map(({ type }) => type)).difference(new Set([ContentType.applicationData, ContentType.changeCipherSpec]));
      expect([...others]).toEqual([]);
      if (opener) continue;
      const extensions = serverHelloExtensions(hello.fragment);
      expect(extensions.get(Extension.supportedVersions)?.toString("hex")).toBe(tls13);
      expect(extensions.get(Extension.keyShare)?.readUInt16BE(0)).toBe(x25519MlKem768.group);
    }
    // What kubectl says to a container passes through the node's loopback, whose frames are from nobody.
    const onBridge = frames.filter((frame) => frame.readUIntBE(0, 6) + frame.readUIntBE(6, 6) > 0);
    // The search is one that finds: curl read the metrics in clear.
    expect(onBridge.some((frame) => frame.includes("countersign_inbound"))).toBe(true);
    expect(onBridge.filter((frame) => frame.includes(marker)).map(String)).toEqual([]);
  });
});
