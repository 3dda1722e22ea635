/** The shop from plain manifests, in a namespace that carries one label: nothing of it knows of the mesh. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { because, missingOwnCluster, ownCluster, type Namespace, type OwnCluster } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";

const shop = join(import.meta.dirname, "../../examples/shop");
const services = ["storefront", "orders", "inventory"] as const;

const answer = z.object({ status: z.number(), headers: z.record(z.string(), z.string()), body: z.string() });
type Answer = z.infer<typeof answer> | { readonly failed: string };

/** One call by fetch, as an argument of node --eval. */
function script(method: string, url: string, body?: object): string {
  const init = JSON.stringify({ method, ...(body && { body: JSON.stringify(body) }) });
  return `fetch(${JSON.stringify(url)}, ${init}).then(
    async (r) => console.log(JSON.stringify({ status: r.status, headers: Object.fromEntries(r.headers), body: await r.text() })),
    (e) => console.log(JSON.stringify({ failed: String(e.cause?.code ?? e) })))`;
}

describe.skipIf(missingOwnCluster !== undefined)(`the shop in a cluster${because(missingOwnCluster)}`, () => {
  let cluster: OwnCluster;
  let namespace: Namespace;
  let outside: Namespace;

  beforeAll(async () => {
    cluster = ownCluster();
    await cluster.buildImage({ name: "countersign-shop:dev", context: shop });
    await installMesh(cluster);
    namespace = await cluster.namespace("shop", meshed);
    outside = await cluster.namespace("outside");
    const manifests = await readFile(join(shop, "kubernetes/shop.yaml"), "utf8");
    await cluster.apply(manifests, ["--namespace", namespace.name]);
    await cluster.apply(manifests, ["--namespace", outside.name]);
    for (const name of services) {
      await cluster.rollout(namespace.name, `deployment/${name}`);
      await cluster.rollout(outside.name, `deployment/${name}`);
    }
  }, 600_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
    await outside[Symbol.asyncDispose]();
  });

  /** From a container of an application, without anything of ours. */
  async function call(from: string, deployment: string, method: string, url: string, body?: object): Promise<Answer> {
    const command = ["exec", `deployment/${deployment}`, "-c", deployment, "--", "node", "--eval", script(method, url, body)];
    const said: unknown = JSON.parse(await cluster.kubectl(["--namespace", from, ...command]));
    const read = answer.safeParse(said);
    return read.success ? read.data : (said as { readonly failed: string });
  }

  test("pods have their sidecar, and no container of theirs is changed but for its probes", async () => {
    const pods = await cluster.kubectl(["--namespace", namespace.name, "get", "pods", "-l", "app=orders", "-o", "json"]);
    const [pod] = z
      .object({
        items: z.array(
          z.object({
            spec: z.object({
              initContainers: z.array(z.object({ name: z.string() })),
              containers: z.array(z.object({ name: z.string(), image: z.string(), readinessProbe: z.unknown(), env: z.unknown() })),
            }),
          }),
        ),
      })
      .parse(JSON.parse(pods)).items;
    expect(pod?.spec.initContainers.map(({ name }) => name)).toEqual(["countersign-init", "countersign-proxy"]);
    expect(pod?.spec.containers.map(({ name, image }) => ({ name, image }))).toEqual([{ name: "orders", image: "countersign-shop:dev" }]);
    expect(pod?.spec.containers[0]?.readinessProbe).toMatchObject({ httpGet: { path: "/app/tcp/8080", port: 15021 } });
  });

  test.each([
    "http://orders/orders/1",
    "http://orders:80/orders/1",
    "http://orders.NAMESPACE/orders/1",
    "http://orders.NAMESPACE.svc.cluster.local/orders/1",
  ])("the storefront calls %s", async (url) => {
    const said = await call(namespace.name, "storefront", "GET", url.replace("NAMESPACE", namespace.name));
    expect(said).toMatchObject({ status: 200, body: expect.stringContaining("towel") as string });
  });

  test("by the Service's own address too", async () => {
    const address = await cluster.kubectl(["--namespace", namespace.name, "get", "service", "orders", "-o", "jsonpath={.spec.clusterIP}"]);
    expect(await call(namespace.name, "storefront", "GET", `http://${address}/orders/1`)).toMatchObject({ status: 200 });
  });

  test("a call goes on from service to service, and each sees who called it", async () => {
    const said = await call(namespace.name, "storefront", "POST", "http://orders/orders", { item: "42" });
    expect(said).toMatchObject({ status: 201 });
    const logs = await cluster.logs(namespace.name, "deployment/inventory", "-c", "inventory");
    const id = (account: string) => `spiffe://cluster.local/ns/${namespace.name}/sa/${account}`;
    const reserved = logs.split("\n").find((line) => line.includes("/items/42/reservations"));
    expect(JSON.parse(reserved ?? "null")).toMatchObject({ method: "POST", from: `By=${id("inventory")};URI=${id("orders")}` });
  });

  test("what a caller says of itself does not reach the application", async () => {
    const forged = `fetch("http://inventory/items/forged", { headers: { "x-forwarded-client-cert": "URI=spiffe://cluster.local/ns/x/sa/admin" } })
      .then((r) => console.log(r.status))`;
    const command = ["exec", "deployment/storefront", "-c", "storefront", "--", "node", "--eval", forged];
    expect((await cluster.kubectl(["--namespace", namespace.name, ...command])).trim()).toBe("404");
    const logs = await cluster.logs(namespace.name, "deployment/inventory", "-c", "inventory");
    const line = logs.split("\n").find((each) => each.includes("/items/forged"));
    expect(line).toContain("/sa/storefront");
    expect(line).not.toContain("admin");
  });

  test("a pod of a namespace without the label is refused, with the reason in the sidecar's log", async () => {
    expect(await call(outside.name, "storefront", "GET", "http://orders/orders/1")).toMatchObject({ status: 200 });
    const said = await call(outside.name, "storefront", "GET", `http://orders.${namespace.name}/orders/1`);
    expect(said).toEqual({ failed: expect.stringMatching(/ECONNRESET|UND_ERR_SOCKET/) as string });
    const logs = await cluster.logs(namespace.name, "deployment/orders", "-c", "countersign-proxy");
    expect(logs).toContain('"reason":"plaintext"');
  });

  test("the application's port is not reached past the sidecar", async () => {
    const address = await cluster.kubectl([
      "--namespace",
      namespace.name,
      "get",
      "pods",
      "-l",
      "app=inventory",
      "-o",
      "jsonpath={.items[0].status.podIP}",
    ]);
    expect(await call(outside.name, "storefront", "GET", `http://${address}:8080/items/42`)).toHaveProperty("failed");
  });

  test("the mesh's own ports give an outsider health, and the probes that the pod lists, and nothing else", async () => {
    const address = await cluster.kubectl([
      "--namespace",
      namespace.name,
      "get",
      "pods",
      "-l",
      "app=inventory",
      "-o",
      "jsonpath={.items[0].status.podIP}",
    ]);
    const get = async (path: string) => await call(outside.name, "storefront", "GET", `http://${address}:15021${path}`);
    expect(await get("/readyz")).toMatchObject({ status: 200 });
    expect(await get("/app/http/8080/items/42")).toMatchObject({ status: 200, body: expect.not.stringContaining("towel") as string });
    expect(await get("/app/http/8080/items/43")).toMatchObject({ status: 404 });
    expect(await call(outside.name, "storefront", "GET", `http://${address}:15000/config`)).toHaveProperty("failed");
  });

  test("a Service resource turns Enforced, and the next call obeys it; when it goes, so does what it said", async () => {
    const resource = {
      apiVersion: "countersign.dev/v1",
      kind: "Service",
      metadata: { name: "inventory" },
      spec: { operationsMode: "strict", operations: { GetItem: "GET /items/{id}" } },
    };
    const reserve = async () => await call(namespace.name, "orders", "POST", "http://inventory/items/42/reservations", {});
    expect(await reserve()).toMatchObject({ status: 201 });
    const inNamespace = ["--namespace", namespace.name];
    const began = performance.now();
    await cluster.apply(JSON.stringify(resource), inNamespace);
    await cluster.kubectl([...inNamespace, "wait", "--for=condition=Enforced", "cssvc/inventory", "--timeout=30s"]);
    process.stderr.write(`from kubectl apply to Enforced: ${Math.round(performance.now() - began)} ms\n`);
    expect(await reserve()).toMatchObject({ status: 403, headers: { "x-countersign-reason": "undeclared-operation" } });
    expect(await call(namespace.name, "orders", "GET", "http://inventory/items/42")).toMatchObject({ status: 200 });
    await cluster.kubectl([...inNamespace, "delete", "cssvc/inventory"]);
    expect(
      await cluster.waitFor("the call being allowed", async () => {
        const said = await reserve();
        return "status" in said && said.status === 201 ? said.status : undefined;
      }),
    ).toBe(201);
  });

  test("services that share the service account default are told apart", async () => {
    await using shared = await cluster.namespace("shop-shared", meshed);
    const manifests = await readFile(join(shop, "kubernetes/shop.yaml"), "utf8");
    await cluster.apply(manifests.replaceAll(/\n +serviceAccountName: \w+/g, ""), ["--namespace", shared.name]);
    for (const name of services) await cluster.rollout(shared.name, `deployment/${name}`);
    const said = await call(shared.name, "storefront", "POST", "http://orders/orders", { item: "42" });
    expect(said).toMatchObject({ status: 201 });
    const logs = await cluster.logs(shared.name, "deployment/inventory", "-c", "inventory");
    expect(logs).toContain(`URI=spiffe://cluster.local/ns/${shared.name}/sa/default`);
    expect(await call(shared.name, "storefront", "GET", `http://orders.${namespace.name}/orders/1`)).toMatchObject({ status: 403 });
  });

  test("a pod that refuses is outside, whatever its namespace", async () => {
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "refuses", annotations: { "countersign.dev/inject": "false" } },
      spec: {
        restartPolicy: "Never",
        containers: [{ name: "refuses", image: "countersign-shop:dev", args: ["--eval", script("GET", "http://orders/orders/1")] }],
      },
    };
    await cluster.apply(JSON.stringify(pod), ["--namespace", namespace.name]);
    const said = await cluster.waitFor("the pod's call", async () => {
      const log = await cluster.logs(namespace.name, "refuses");
      return log === "" ? undefined : log;
    });
    expect(JSON.parse(said)).toHaveProperty("failed");
    await cluster.kubectl(["--namespace", namespace.name, "delete", "pod", "refuses", "--wait=false"]);
  });

  test("countersign check finds all of it well, and a pod without its sidecar", async () => {
    const program = [join(import.meta.dirname, "../../bin/countersign"), "check", "--kubeconfig", cluster.kubeconfig];
    expect((await cluster.run(program)).stdout).toContain(`ok     namespace ${namespace.name}: 3 pods in the mesh`);
    const bare = { apiVersion: "v1", kind: "Pod", metadata: { name: "bare" }, spec: { containers: [{ name: "a", image: "none" }] } };
    await cluster.apply(JSON.stringify(bare), ["--namespace", outside.name]);
    await cluster.kubectl(["label", "namespace", outside.name, "countersign.dev/inject=enabled"]);
    const { status, stdout } = await cluster.waitFor("the namespace's ConfigMap", async () => {
      const said = await cluster.run(program);
      return said.stdout.includes("no ConfigMap") ? undefined : said;
    });
    expect(status).toBe(1);
    expect(stdout).toMatch(new RegExp(`FAILED namespace ${outside.name}: without a sidecar: .*bare`));
    expect(stdout).toContain(`kubectl rollout restart deployment,statefulset,daemonset -n ${outside.name}`);
    await cluster.kubectl(["label", "namespace", outside.name, "countersign.dev/inject-"]);
  });

  test("without a control plane calls go on, and a new pod comes up meshed and waits for it", async () => {
    const inNamespace = ["--namespace", namespace.name];
    const scale = async (replicas: number) =>
      await cluster.kubectl(["--namespace", "countersign-system", "scale", "deployment/countersign", `--replicas=${replicas}`]);
    await scale(0);
    try {
      const gone = ["wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=control-plane", "--timeout=60s"];
      await cluster.kubectl(["--namespace", "countersign-system", ...gone]);
      await cluster.kubectl([...inNamespace, "rollout", "restart", "deployment/storefront"]);
      const waiting = await cluster.waitFor("the new pod's sidecar to be asked whether it is ready", async () => {
        const found = await cluster.kubectl([...inNamespace, "get", "pods", "-l", "app=storefront", "-o", "json"]);
        const state = z.object({ name: z.string(), started: z.boolean().optional(), state: z.record(z.string(), z.unknown()) });
        const list = z.object({ items: z.array(z.object({ status: z.object({ initContainerStatuses: z.array(state).optional() }) })) });
        const sidecars = list.parse(JSON.parse(found)).items.flatMap(({ status }) => status.initContainerStatuses ?? []);
        return sidecars.find((each) => each.name === "countersign-proxy" && "running" in each.state && each.started === false);
      });
      expect(waiting.name).toBe("countersign-proxy");
      expect(await call(namespace.name, "orders", "GET", "http://inventory/items/42")).toMatchObject({ status: 200 });
    } finally {
      await scale(1);
    }
    await cluster.rollout("countersign-system", "deployment/countersign");
    await cluster.rollout(namespace.name, "deployment/storefront");
    expect(await call(namespace.name, "storefront", "GET", "http://orders/orders/1")).toMatchObject({ status: 200 });
  });

  test("a restart of all pods leaves the calls working", async () => {
    await cluster.kubectl(["--namespace", namespace.name, "rollout", "restart", "deployment"]);
    for (const name of services) await cluster.rollout(namespace.name, `deployment/${name}`);
    const said = await call(namespace.name, "storefront", "GET", "http://orders/orders/1");
    expect(said).toMatchObject({ status: 200 });
  });
});
