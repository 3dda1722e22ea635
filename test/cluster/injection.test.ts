/** Injection by the API server: what it makes of pods, that countersign inject makes the same, and what the guard refuses. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { injectText } from "../../cli/kubernetes/inject-documents.ts";
import { defaultSettings } from "../../common/injection/injected.ts";
import { because, missingCluster, theCluster, type Cluster, type Namespace } from "./harness.ts";
import { installMesh, meshed } from "./installed.ts";

type Spec = Record<string, unknown> & { readonly containers: readonly object[] };
type Annotations = Readonly<Record<string, string>>;

const podObject = z.looseObject({
  metadata: z.looseObject({ annotations: z.record(z.string(), z.string()).optional() }),
  spec: z.looseObject({ initContainers: z.array(z.looseObject({ name: z.string() })).optional() }),
});

/** Nothing of it is ever started. */
const container = (fields: object = {}): object => ({ name: "app", image: "nothing", ...fields });
const plain: Spec = { containers: [container()] };

const pods: readonly [string, Spec, Annotations?][] = [
  ["with nothing", plain],
  [
    "with init containers and volumes",
    { ...plain, initContainers: [{ name: "first", image: "x" }], volumes: [{ name: "v", emptyDir: {} }] },
  ],
  [
    "with another sidecar",
    { ...plain, initContainers: [{ name: "other", image: "x", restartPolicy: "Always", startupProbe: { tcpSocket: { port: 9 } } }] },
  ],
  ["without a token for the cluster", { ...plain, automountServiceAccountToken: false }],
  ["with annotations", plain, { "example.com/x": "y", "prometheus.io/port": "1" }],
  [
    "that is tuned",
    plain,
    {
      "countersign.dev/inject": "true",
      "countersign.dev/exclude-outbound-ports": "22,8000-8010",
      "countersign.dev/exclude-outbound-cidrs": "10.0.0.0/8,fd00::/8,1.2.3.4",
      "countersign.dev/exclude-inbound-ports": "9090",
      "countersign.dev/proxy-cpu": "0.5",
      "countersign.dev/proxy-memory": "1Gi",
      "countersign.dev/log-level": "debug",
    },
  ],
  ["that is to end quickly", { ...plain, terminationGracePeriodSeconds: 5 }],
  [
    "with hooks of some containers",
    {
      containers: [
        container({ lifecycle: { postStart: { exec: { command: ["true"] } } } }),
        { name: "second", image: "x", lifecycle: { preStop: { exec: { command: ["true"] } } } },
      ],
    },
  ],
  ["that is tuned to nothing", plain, { "countersign.dev/exclude-outbound-ports": "", "countersign.dev/exclude-outbound-cidrs": "" }],
  [
    "with probes of every kind",
    {
      containers: [
        container({
          ports: [{ name: "web", containerPort: 8080 }],
          livenessProbe: { httpGet: { path: "/a,b$(C)", port: "web", httpHeaders: [{ name: "Host", value: "x" }] }, periodSeconds: 3 },
          readinessProbe: { grpc: { port: 50_051, service: "shop.Orders" }, timeoutSeconds: 4 },
          startupProbe: { tcpSocket: { port: 6379 } },
          lifecycle: { postStart: { httpGet: { port: 8443, path: "up?x=1", scheme: "HTTPS" } }, preStop: { exec: { command: ["true"] } } },
        }),
        {
          name: "second",
          image: "x",
          livenessProbe: { exec: { command: ["true"] } },
          readinessProbe: { httpGet: { port: "nobody", path: "/" } },
          startupProbe: { httpGet: { host: "1.2.3.4", port: 80, path: "/" } },
        },
        { name: "third", image: "x", livenessProbe: { grpc: { port: 1 } }, readinessProbe: { httpGet: { port: 8080 } } },
      ],
    },
  ],
];

const refused: readonly [string, Spec, Annotations, string][] = [
  ...(
    [
      ["inject", "maybe"],
      ["exclude-outbound-ports", "80,"],
      ["exclude-inbound-ports", "90-80"],
      ["exclude-inbound-ports", "65536"],
      ["exclude-inbound-ports", "99999999999999999999"],
      ["exclude-outbound-cidrs", "10.0.0.0/33"],
      ["exclude-outbound-cidrs", "::ffff:10.0.0.1"],
      ["proxy-cpu", "much"],
      ["proxy-memory", "1Mi"],
      ["log-level", "loud"],
      ["exclude-outbound-port", "80"],
    ] as const
  ).map(([name, value]): [string, Spec, Annotations, string] => [
    `annotation ${name}: ${value}`,
    plain,
    { [`countersign.dev/${name}`]: value },
    `annotation countersign.dev/${name}: `,
  ]),
  [
    "a container that runs as the sidecar's user",
    { containers: [container({ securityContext: { runAsUser: 1337 } })] },
    {},
    "container app runs as user 1337",
  ],
  ["the same by its pod", { ...plain, securityContext: { runAsUser: 1337 } }, {}, "container app runs as user 1337"],
  [
    "an init container that does",
    { ...plain, initContainers: [{ name: "first", image: "x", securityContext: { runAsUser: 1337 } }] },
    {},
    "container first runs as user 1337",
  ],
  [
    "a container with NET_ADMIN",
    { containers: [container({ securityContext: { capabilities: { add: ["NET_ADMIN"] } } })] },
    {},
    "container app may change the kernel's rules",
  ],
  [
    "a container with all capabilities",
    { containers: [container({ securityContext: { capabilities: { add: ["all"] } } })] },
    {},
    "container app may change the kernel's rules",
  ],
  [
    "a privileged container",
    { containers: [container({ securityContext: { privileged: true } })] },
    {},
    "container app may change the kernel's rules",
  ],
  [
    "another program under the sidecar's name",
    { ...plain, initContainers: [{ name: "countersign-proxy", image: "x", restartPolicy: "Always" }] },
    {},
    "no container countersign-proxy as the mesh makes it",
  ],
];

describe.skipIf(missingCluster !== undefined)(`injection in a cluster${because(missingCluster)}`, () => {
  let cluster: Cluster;
  let namespace: Namespace;
  let outside: Namespace;
  let settings: Record<string, string>;

  beforeAll(async () => {
    cluster = theCluster();
    await installMesh(cluster);
    namespace = await cluster.namespace("injection", meshed);
    outside = await cluster.namespace("injection-outside");
    const map = await cluster.kubectl(["--namespace", "countersign-system", "get", "configmap", "countersign-injection", "-o", "json"]);
    settings = z.object({ data: z.record(z.string(), z.string()) }).parse(JSON.parse(map)).data;
  }, 300_000);
  afterAll(async () => {
    await namespace[Symbol.asyncDispose]();
    await outside[Symbol.asyncDispose]();
  });

  const podText = (spec: Spec, annotations: Annotations = {}, name = "one"): string =>
    JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name, annotations }, spec });
  const create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];

  /** What the API server would store of it, without what differs every time. */
  async function stored(text: string, where = namespace): Promise<z.infer<typeof podObject>> {
    const said = await cluster.kubectl(["--namespace", where.name, ...create], { input: text });
    const { metadata, spec } = podObject.parse(JSON.parse(said.replaceAll(/kube-api-access-\w+/g, "kube-api-access")));
    return { metadata: { annotations: metadata.annotations }, spec: { ...spec, volumes: sorted(spec["volumes"]) } };
  }
  const sorted = (list: unknown): unknown =>
    (list as readonly { readonly name: string }[] | undefined)?.toSorted((a, b) => a.name.localeCompare(b.name));

  test.each(pods)("a pod %s is the same by countersign inject", async (_, spec, annotations) => {
    const text = podText(spec, annotations);
    const injected = injectText(text, { ...defaultSettings, ...settings }, "pod.json");
    expect(injected.outcomes).toEqual([{ kind: "Pod", name: "one", outcome: "injected" }]);
    const byServer = await stored(text);
    expect(byServer.spec.initContainers?.slice(0, 2).map(({ name }) => name)).toEqual(["countersign-init", "countersign-proxy"]);
    expect(await stored(injected.text)).toEqual(byServer);
  });

  test("the sidecar gets no token for the cluster, and the application keeps its own", async () => {
    const { spec } = await stored(podText(plain));
    expect(JSON.stringify(spec.initContainers)).not.toContain("kube-api-access");
    expect(JSON.stringify(spec["containers"])).toContain("kube-api-access");
  });

  test.each<[string, Spec, Annotations]>([
    ["that refuse", plain, { "countersign.dev/inject": "false" }],
    ["in the network of their node", { ...plain, hostNetwork: true }, {}],
  ])("pods %s are left alone", async (_, spec, annotations) => {
    const text = podText(spec, annotations);
    const before = await stored(text, outside);
    expect(await stored(text)).toEqual(before);
    expect(before.spec.initContainers).toBeUndefined();
  });

  test("pods of other namespaces, and of our own, are left alone", async () => {
    expect(
      (await stored(podText({ containers: [container({ securityContext: { runAsUser: 1337 } })] }), outside)).spec.initContainers,
    ).toBeUndefined();
    const [own] = z
      .object({ items: z.array(podObject) })
      .parse(JSON.parse(await cluster.kubectl(["--namespace", "countersign-system", "get", "pods", "-o", "json"]))).items;
    expect(own?.spec.initContainers).toBeUndefined();
  });

  test.each(refused)("%s is refused, and says why", async (_, spec, annotations, message) => {
    const { status, stderr } = await cluster.tryKubectl(["--namespace", namespace.name, ...create], { input: podText(spec, annotations) });
    expect(status).not.toBe(0);
    expect(stderr).toContain(message);
  });

  test("a pod of another image under our name is refused even where nothing injects", async () => {
    const injected = injectText(podText(plain), { ...defaultSettings, ...settings, image: "elsewhere/countersign" }, "pod.json");
    const { stderr } = await cluster.tryKubectl(["--namespace", namespace.name, ...create], { input: injected.text });
    expect(stderr).toContain("no container countersign-proxy as the mesh makes it");
  });

  test.each<[string, object]>([
    ["a command of its own", { command: ["node", "--eval", "1"] }],
    ["a probe that runs a command as the sidecar's user", { startupProbe: { exec: { command: ["node", "--eval", "1"] } } }],
    ["a variable that loads code", { env: [{ name: "NODE_OPTIONS", value: "--require=/evil" }] }],
    ["a volume of its own", { volumeMounts: [{ name: "evil", mountPath: "/countersign" }] }],
    ["another user", { securityContext: { runAsUser: 0 } }],
  ])("a sidecar with %s is not taken for ours", async (_, fields) => {
    const { spec, ...rest } = podObject.parse(JSON.parse(injectText(podText(plain), { ...defaultSettings, ...settings }, "pod.json").text));
    const initContainers = spec.initContainers?.map((each) => (each.name === "countersign-proxy" ? { ...each, ...fields } : each));
    const volumes = [...(spec["volumes"] as readonly object[]), { name: "evil", emptyDir: {} }];
    const input = JSON.stringify({ ...rest, spec: { ...spec, initContainers, volumes } });
    const { stderr } = await cluster.tryKubectl(["--namespace", namespace.name, ...create], { input });
    expect(stderr).toContain("no container countersign-proxy as the mesh makes it");
  });

  test("a debugging container is taken, unless it could leave the mesh", async () => {
    // Never scheduled: it only has to be there.
    const nowhere = { ...plain, nodeSelector: { "example.com/none": "none" } };
    await cluster.kubectl(["--namespace", namespace.name, "create", "-f", "-"], { input: podText(nowhere, {}, "debugged") });
    const debug = async (name: string, ...args: readonly string[]) =>
      await cluster.tryKubectl([
        "--namespace",
        namespace.name,
        "debug",
        "pod/debugged",
        "--image=x",
        "-c",
        name,
        "--attach=false",
        ...args,
      ]);
    const folder = await mkdtemp(join(tmpdir(), "countersign-debug-"));
    try {
      const asProxy = join(folder, "as-proxy.json");
      await writeFile(asProxy, JSON.stringify({ securityContext: { runAsUser: 1337 } }));
      expect(await debug("fine", "--profile=general")).toMatchObject({ status: 0 });
      const privileged = await debug("admin", "--profile=netadmin");
      expect(privileged.stderr).toContain("container admin may change the kernel's rules");
      const proxy = await debug("proxy", "--profile=general", `--custom=${asProxy}`);
      expect(proxy.stderr).toContain("container proxy runs as user 1337");
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  test("the application hears its probes and hooks, and starts beside a Service of a name like ours", async () => {
    const inNamespace = ["--namespace", namespace.name];
    const service = { apiVersion: "v1", kind: "Service", metadata: { name: "countersign-demo" }, spec: { ports: [{ port: 80 }] } };
    await cluster.apply(JSON.stringify(service), inNamespace);
    const server = `require("node:http").createServer((q, r) => {
      console.log(q.method, q.url, q.headers["x-probe"]);
      setTimeout(() => r.end("well"), q.url === "/bye" ? 500 : 0);
    }).listen(8080)`;
    const spec = {
      terminationGracePeriodSeconds: 20,
      containers: [
        {
          name: "app",
          image: cluster.image,
          command: ["node", "--eval", server],
          securityContext: { runAsUser: 1000 },
          ports: [{ name: "web", containerPort: 8080 }],
          startupProbe: { exec: { command: ["true"] } },
          livenessProbe: { tcpSocket: { port: "web" } },
          readinessProbe: {
            httpGet: { path: "/a,b$(C)?x=1", port: "web", httpHeaders: [{ name: "X-Probe", value: "yes" }] },
            periodSeconds: 1,
          },
          lifecycle: { preStop: { httpGet: { path: "/bye", port: 8080 } } },
        },
      ],
    };
    await cluster.kubectl([...inNamespace, "create", "-f", "-"], { input: podText(spec, {}, "probed") });
    await cluster.kubectl([...inNamespace, "wait", "--for=condition=Ready", "pod/probed", "--timeout=120s"], { timeoutMs: 130_000 });
    const following = cluster.tryKubectl([...inNamespace, "logs", "--follow", "probed", "-c", "app"]);
    await cluster.kubectl([...inNamespace, "delete", "pod", "probed", "--wait=true"]);
    const { stdout } = await following;
    expect(stdout).toMatch(/^GET \/a%2Cb%24\(C\)\?x=1 yes$/m);
    expect(stdout).toMatch(/^GET \/bye /m);
  });

  test("a Job ends, and its pod with it", async () => {
    const job = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "ends" },
      spec: {
        backoffLimit: 0,
        template: {
          spec: {
            restartPolicy: "Never",
            containers: [{ name: "work", image: cluster.image, command: ["true"], securityContext: { runAsUser: 1000 } }],
          },
        },
      },
    };
    await cluster.apply(JSON.stringify(job), ["--namespace", namespace.name]);
    await cluster.kubectl(["--namespace", namespace.name, "wait", "--for=condition=Complete", "job/ends", "--timeout=120s"], {
      timeoutMs: 130_000,
    });
    const phase = await cluster.kubectl([
      "--namespace",
      namespace.name,
      "get",
      "pods",
      "-l",
      "job-name=ends",
      "-o",
      "jsonpath={.items[0].status.phase}",
    ]);
    expect(phase).toBe("Succeeded");
  });
});
