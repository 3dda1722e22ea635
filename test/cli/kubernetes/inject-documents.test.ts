import { assert, integer, property, webPath } from "fast-check";
import { parse, parseAllDocuments } from "yaml";
import { describe, expect, test } from "vitest";
import type { Json } from "../../../common/injection/cel.ts";
import { injectText } from "../../../cli/kubernetes/inject-documents.ts";
import { InjectError } from "../../../common/injection/inject-pod.ts";
import { defaultSettings } from "../../../common/injection/injected.ts";

const settings = { ...defaultSettings, image: "countersign:test" };
const inject = (text: string) => injectText(text, settings, "file.yaml");

const deployment = `# The orders of the shop.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders # its name
spec:
  template:
    spec:
      initContainers:
        - name: migrate # first of all
          image: x
      containers:
        - name: orders
          image: shop
          ports: [ { name: http, containerPort: 8080 } ]
          readinessProbe:
            httpGet: { path: /ready, port: http } # asked often
            periodSeconds: 3
`;

interface Spec {
  readonly initContainers: readonly { readonly name: string; readonly image: string; readonly args: readonly string[] }[];
  readonly containers: readonly Readonly<Record<string, unknown>>[];
  readonly volumes: readonly { readonly name: string }[];
}

function specAt(text: string, ...path: readonly string[]): Spec {
  let found: unknown = parse(text);
  for (const key of path) found = (found as Record<string, unknown>)[key];
  return found as Spec;
}

function pod(spec: object, annotations?: Readonly<Record<string, string>>): string {
  return JSON.stringify({ apiVersion: "v1", kind: "Pod", metadata: { name: "one", ...(annotations && { annotations }) }, spec });
}

function probesOf(text: string): string {
  const proxy = specAt(text, "spec").initContainers[1] as unknown as {
    readonly env: readonly { readonly name: string; readonly value?: string }[];
  };
  return proxy.env.find(({ name }) => name === "COUNTERSIGN_PROBES")?.value ?? "absent";
}

describe("the farewell before an application is told to end", () => {
  const preStop = { httpGet: { path: "/farewell", port: 15_021, scheme: "HTTP" } };
  const hooksOf = (text: string) => specAt(text, "spec").containers.map(({ lifecycle }) => lifecycle);
  const own = { preStop: { exec: { command: ["sleep", "5"] } } };
  const postStart = { exec: { command: ["true"] } };

  test("is a hook of every container that has none, and of no other", () => {
    const containers = [{ name: "a" }, { name: "b", lifecycle: own }, { name: "c", lifecycle: { postStart } }];
    const { text } = inject(pod({ containers }));
    expect(hooksOf(text)).toEqual([{ preStop }, own, { postStart, preStop }]);
    expect(probesOf(text)).toBe("");
    expect(inject(text).text).toBe(text);
  });

  test("is not for pods that are to end quickly", () => {
    const hooks = (terminationGracePeriodSeconds: number) =>
      hooksOf(inject(pod({ containers: [{ name: "a" }], terminationGracePeriodSeconds })).text);
    expect(hooks(9)).toEqual([undefined]);
    expect(hooks(10)).toEqual([{ preStop }]);
  });
});

describe("a file of YAML", () => {
  test("keeps its comments, and everything that is not changed", () => {
    const { text, outcomes } = inject(deployment);
    for (const comment of ["# The orders of the shop.", "# its name", "# first of all", "# asked often"]) expect(text).toContain(comment);
    expect(text).toContain("ports: [ { name: http, containerPort: 8080 } ]");
    expect(outcomes).toEqual([{ kind: "Deployment", name: "orders", outcome: "injected" }]);
  });

  test("has the interception first, then the sidecar, then what was there", () => {
    const { initContainers, volumes } = specAt(inject(deployment).text, "spec", "template", "spec");
    expect(initContainers.map(({ name }) => name)).toEqual(["countersign-init", "countersign-proxy", "migrate"]);
    expect(initContainers[0]?.image).toBe("countersign:test");
    expect(volumes.map(({ name }) => name)).toEqual(["countersign-token", "countersign-config", "countersign-empty"]);
  });

  test("is the same after the second time, byte for byte", () => {
    const once = inject(deployment).text;
    const twice = inject(once);
    expect(twice.text).toBe(once);
    expect(twice.outcomes).toEqual([{ kind: "Deployment", name: "orders", outcome: "unchanged" }]);
  });

  test("without a pod in it comes back as it was", () => {
    const text = "kind:   Service\nmetadata: {name: orders}   # odd\n---\n# nothing\n";
    expect(inject(text)).toEqual({ text, outcomes: [] });
  });

  test("may have many documents", () => {
    const { text } = inject(`${deployment}---\nkind: Service\nmetadata: { name: orders }\n---\n${deployment}`);
    expect(parseAllDocuments(text).map((document) => (document.toJS() as { kind: string }).kind)).toEqual([
      "Deployment",
      "Service",
      "Deployment",
    ]);
    expect(text.match(/countersign-proxy/g)).toHaveLength(2);
  });

  test("that is no YAML is named", () => {
    expect(() => inject("kind: [")).toThrow(InjectError);
    expect(() => inject("kind: [")).toThrow(/^file\.yaml: /);
  });
});

describe("every kind with pods", () => {
  const template = { template: { spec: { containers: [{ name: "a", image: "b" }] } } };
  const cases: readonly [string, object, readonly string[]][] = [
    ...["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"].map(
      (kind): [string, object, readonly string[]] => [kind, { spec: template }, ["spec", "template", "spec"]],
    ),
    ["CronJob", { spec: { jobTemplate: { spec: template } } }, ["spec", "jobTemplate", "spec", "template", "spec"]],
    ["Pod", template.template, ["spec"]],
    ["PodTemplate", template, ["template", "spec"]],
  ];
  test.each(cases)("%s", (kind, body, path) => {
    const { initContainers } = specAt(inject(JSON.stringify({ kind, metadata: { name: "x" }, ...body })).text, ...path);
    expect(initContainers.map(({ name }) => name)).toEqual(["countersign-init", "countersign-proxy"]);
  });

  test("in a List", () => {
    const list = { kind: "List", items: [{ kind: "ConfigMap" }, { kind: "Job", metadata: { name: "x" }, spec: template }] };
    const { text, outcomes } = inject(JSON.stringify(list));
    expect(outcomes).toEqual([{ kind: "Job", name: "x", outcome: "injected" }]);
    expect((JSON.parse(text) as { items: { kind: string }[] }).items.map(({ kind }) => kind)).toEqual(["ConfigMap", "Job"]);
  });
});

describe("pods that are left alone", () => {
  test.each([
    ["annotation", pod({ containers: [] }, { "countersign.dev/inject": "false" })],
    ["host-network", pod({ containers: [], hostNetwork: true })],
    ["windows", pod({ containers: [], os: { name: "windows" } })],
  ])("by %s", (outcome, text) => {
    const injected = inject(text);
    expect(injected.outcomes).toEqual([{ kind: "Pod", name: "one", outcome }]);
    expect(JSON.parse(injected.text)).toEqual(JSON.parse(text));
  });
});

describe("annotations", () => {
  test("tune the sidecar", () => {
    const text = inject(
      pod(
        { containers: [] },
        {
          "countersign.dev/exclude-outbound-ports": "22,8000-8010",
          "countersign.dev/exclude-outbound-cidrs": "10.0.0.0/8,fd00::/8",
          "countersign.dev/exclude-inbound-ports": "9090",
          "countersign.dev/proxy-cpu": "0.5",
          "countersign.dev/proxy-memory": "1Gi",
          "countersign.dev/log-level": "debug",
        },
      ),
    ).text;
    const [init, proxy] = specAt(text, "spec").initContainers;
    expect(init?.args.slice(2)).toEqual([
      "--skip-outbound-ports=22,8000-8010",
      "--skip-outbound-cidrs=10.0.0.0/8,fd00::/8",
      "--skip-inbound-ports=9090",
    ]);
    expect(proxy).toMatchObject({ resources: { requests: { cpu: "0.5", memory: "1Gi" }, limits: { memory: "1Gi" } } });
    expect(text).toContain(`"name": "COUNTERSIGN_LOG_LEVEL",\n            "value": "debug"`);
  });

  test.each([
    ["countersign.dev/inject", "maybe"],
    ["countersign.dev/exclude-outbound-ports", "80,"],
    ["countersign.dev/exclude-outbound-ports", "0"],
    ["countersign.dev/exclude-inbound-ports", "90-80"],
    ["countersign.dev/exclude-inbound-ports", "65536"],
    ["countersign.dev/exclude-outbound-cidrs", "10.0.0.0/33"],
    ["countersign.dev/exclude-outbound-cidrs", "::ffff:10.0.0.1"],
    ["countersign.dev/proxy-cpu", "much"],
    ["countersign.dev/proxy-memory", "1Mi"],
    ["countersign.dev/log-level", "loud"],
    ["countersign.dev/exclude-outbound-port", "80"],
  ])("%s: %s is refused, and named", (annotation, value) => {
    expect(() => inject(pod({ containers: [] }, { [annotation]: value }))).toThrow(`file.yaml: Pod one: annotation ${annotation}: `);
  });

  test("for Prometheus are added, unless the pod has some of its own", () => {
    const own = { "prometheus.io/port": "9090" };
    const annotations = (text: string) => (JSON.parse(text) as { metadata: { annotations: object } }).metadata.annotations;
    expect(annotations(inject(pod({ containers: [] })).text)).toMatchObject({
      "prometheus.io/port": "15020",
      "prometheus.io/scrape": "true",
    });
    expect(annotations(inject(pod({ containers: [] }, own)).text)).toEqual(own);
  });
});

describe("probes", () => {
  const container = (fields: object) => ({ name: "a", image: "b", ports: [{ name: "web", containerPort: 8080 }], ...fields });
  const cases: readonly [string, object, string][] = [
    ["httpGet", { httpGet: { path: "/healthz", port: 8080 } }, "http:8080/healthz"],
    ["httpGet over TLS", { httpGet: { path: "/healthz", port: 8443, scheme: "HTTPS" } }, "https:8443/healthz"],
    ["httpGet on a named port", { httpGet: { path: "/", port: "web" } }, "http:8080/"],
    ["httpGet without a path", { httpGet: { port: "web" } }, "http:8080/"],
    ["httpGet of a path without a slash", { httpGet: { path: "x?y=1", port: 80 } }, "http:80/x?y=1"],
    ["httpGet of a path with a comma and a dollar sign", { httpGet: { path: "/a,b$(C)", port: 80 } }, "http:80/a%2Cb%24(C)"],
    ["tcpSocket", { tcpSocket: { port: 6379 } }, "tcp:6379"],
    ["grpc", { grpc: { port: 50051 } }, "grpc:50051"],
    ["grpc of a service", { grpc: { port: 50051, service: "shop.Orders" } }, "grpc:50051/shop.Orders"],
  ];
  test.each(cases)("%s is asked of the sidecar", (_, handler, target) => {
    const text = inject(pod({ containers: [container({ readinessProbe: { ...handler, periodSeconds: 3 } })] })).text;
    const [first] = specAt(text, "spec").containers;
    expect(first?.["readinessProbe"]).toMatchObject({
      httpGet: { path: `/app/${target.replace(":", "/")}`, port: 15021, scheme: "HTTP" },
      periodSeconds: 3,
    });
    expect(Object.keys(first?.["readinessProbe"] as object).sort()).toEqual(["httpGet", "periodSeconds"]);
    expect(probesOf(text)).toBe(target);
  });

  test.each([
    ["exec", { exec: { command: ["true"] } }],
    ["a host of its own", { httpGet: { host: "example.com", path: "/", port: 80 } }],
    ["a port of no container", { httpGet: { path: "/", port: "nobody" } }],
  ])("with %s are left as they are", (_, handler) => {
    const text = inject(pod({ containers: [container({ livenessProbe: handler })] })).text;
    expect(specAt(text, "spec").containers[0]?.["livenessProbe"]).toEqual(handler);
    expect(probesOf(text)).toBe("");
  });

  test("keep their header fields", () => {
    const httpHeaders = [{ name: "Host", value: "orders" }];
    const text = inject(pod({ containers: [container({ startupProbe: { httpGet: { port: 80, httpHeaders } } })] })).text;
    expect(specAt(text, "spec").containers[0]).toMatchObject({ startupProbe: { httpGet: { httpHeaders } } });
  });

  test("of hooks and of other sidecars too; each is listed once", () => {
    const get = (path: string) => ({ httpGet: { path, port: 80 } });
    const spec = {
      initContainers: [
        { name: "ends", image: "b", readinessProbe: get("/never") },
        { name: "stays", image: "b", restartPolicy: "Always", startupProbe: get("/up") },
      ],
      containers: [container({ lifecycle: { preStop: get("/quit") }, livenessProbe: get("/x"), readinessProbe: get("/x") })],
    };
    expect(probesOf(inject(pod(spec)).text)).toBe("http:80/x,http:80/quit,http:80/up");
  });

  test("that somebody adds to a pod with its sidecar are added to the list", () => {
    const once = JSON.parse(inject(pod({ containers: [container({ livenessProbe: { tcpSocket: { port: 1 } } })] })).text) as {
      spec: { containers: Record<string, Json>[] };
    };
    once.spec.containers.push({ name: "late", image: "b", readinessProbe: { tcpSocket: { port: 2 } } });
    expect(probesOf(inject(JSON.stringify(once)).text)).toBe("tcp:1,tcp:2");
  });

  test("of any path: the sidecar is asked for what it lists", () => {
    assert(
      property(webPath(), integer({ min: 1, max: 65_535 }), (path, port) => {
        const text = inject(pod({ containers: [container({ readinessProbe: { httpGet: { path, port } } })] })).text;
        const probe = specAt(text, "spec").containers[0]?.["readinessProbe"] as { httpGet: { path: string } };
        expect(`/app/${probesOf(text).replace(":", "/")}`).toBe(probe.httpGet.path);
        expect(probesOf(text)).not.toMatch(/[,$]/);
      }),
    );
  });
});
