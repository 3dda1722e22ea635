/** A StatefulSet behind a headless Service: each of its pods is called by its own name, and the calls are the mesh's like any other. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";

const image = "countersign-shop:dev";

/** Answers with its pod's name: by HTTP on 8080 with the caller's identity, and on 9000 before it has been asked anything. */
const server = `
  const name = require("node:os").hostname();
  require("node:http").createServer((q, r) => r.end(name + " " + q.headers["x-forwarded-client-cert"])).listen(8080);
  require("node:net").createServer((s) => { s.on("error", () => {}); s.end(name); }).listen(9000);
  process.on("SIGTERM", () => process.exit(0));`;
const idle = `setInterval(() => {}, 1e6); process.on("SIGTERM", () => process.exit(0));`;

const container = (name: string, code: string) => ({
  name,
  image,
  args: ["--eval", code],
  resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: "256Mi" } },
});
const podsOf = (name: string, code: string, readinessProbe?: object) => ({
  metadata: { labels: { app: name } },
  spec: { serviceAccountName: name, containers: [{ ...container(name, code), ...(readinessProbe && { readinessProbe }) }] },
});
const selector = (name: string) => ({ matchLabels: { app: name } });
const objects = [
  { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "store" } },
  { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "reader" } },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "store" },
    spec: {
      clusterIP: "None",
      selector: { app: "store" },
      ports: [
        { name: "http", port: 8080 },
        { name: "tcp-name", port: 9000 },
      ],
    },
  },
  {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: { name: "store" },
    spec: {
      serviceName: "store",
      replicas: 2,
      podManagementPolicy: "Parallel",
      selector: selector("store"),
      template: podsOf("store", server, { tcpSocket: { port: 8080 }, periodSeconds: 1 }),
    },
  },
  {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "reader" },
    spec: { selector: selector("reader"), template: podsOf("reader", idle) },
  },
];

describe.skipIf(missingOwnCluster !== undefined)(`a headless Service${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;

  beforeAll(async () => {
    cluster = ownCluster();
    await cluster.buildImage({ name: image, context: join(import.meta.dirname, "../../examples/shop") });
    await installMesh(cluster);
    namespace = await cluster.namespace("headless", meshed);
    await cluster.apply(JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }), ["--namespace", namespace.name]);
    await cluster.rollout(namespace.name, "statefulset/store");
    await cluster.rollout(namespace.name, "deployment/reader");
  }, 600_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
  });

  async function evaluate(code: string): Promise<string> {
    const command = ["exec", "deployment/reader", "-c", "reader", "--", "node", "--eval", code];
    return (await cluster.kubectl(["--namespace", namespace.name, ...command])).trim();
  }
  const http = async (url: string) =>
    await evaluate(`fetch(${JSON.stringify(url)}).then((r) => r.text()).then(console.log, (e) => console.log("failed", e.cause))`);
  const tcp = async (host: string) =>
    await evaluate(`require("node:net").connect(9000, ${JSON.stringify(host)}).on("error", console.log).pipe(process.stdout)`);
  const id = (account: string) => `spiffe://cluster.local/ns/${namespace.name}/sa/${account}`;
  const caller = () => `By=${id("store")};URI=${id("reader")}`;

  test.each([0, 1])("pod %i is called by its own name, and sees who called", async (ordinal) => {
    const said = `store-${ordinal} ${caller()}`;
    expect(await http(`http://store-${ordinal}.store:8080/`)).toBe(said);
    expect(await http(`http://store-${ordinal}.store.${namespace.name}.svc.cluster.local:8080/`)).toBe(said);
  });

  test.each([0, 1])("pod %i is called over TCP, though it speaks first", async (ordinal) => {
    expect(await tcp(`store-${ordinal}.store`)).toBe(`store-${ordinal}`);
  });

  test("any of them is called by the Service's name", async () => {
    expect(await http("http://store:8080/")).toMatch(/^store-[01] By=/);
    expect(await tcp("store")).toMatch(/^store-[01]$/);
  });

  test("a pod that comes back with another address is found there", async () => {
    const addressOf = async () =>
      await cluster.kubectl(["--namespace", namespace.name, "get", "pod", "store-0", "-o", "jsonpath={.status.podIP}"]);
    const before = await addressOf();
    await cluster.kubectl(["--namespace", namespace.name, "delete", "pod", "store-0"]);
    await cluster.rollout(namespace.name, "statefulset/store");
    const found = await cluster.waitFor("the new pod by its name", async () => {
      const said = await http("http://store-0.store:8080/");
      return said === `store-0 ${caller()}` ? said : undefined;
    });
    expect(found).toContain("store-0");
    expect(await addressOf()).not.toBe(before);
    expect(await tcp("store-0.store")).toBe("store-0");
  });
});
