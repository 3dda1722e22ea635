/** `apply` and `get` against a real control plane, and what they say when something is wrong. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startPlane, stopPlanes } from "../control-plane/plane.ts";
import { failure, run, type Finished } from "./run.ts";

let folder: string;
let socket: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-apply-"));
  socket = (await startPlane()).ready.adminSocket;
});
afterAll(async () => {
  await stopPlanes();
  rmSync(folder, { recursive: true, force: true });
});

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return name;
}

const countersign = (args: string[], input?: string): Promise<Finished> =>
  run(args, { cwd: folder, environment: { COUNTERSIGN_ADMIN_SOCKET: socket }, ...(input === undefined ? {} : { input }) });

const service = (name: string, spec: string) =>
  `apiVersion: countersign.dev/v1\nkind: Service\nmetadata: { name: ${name}, namespace: shop }\nspec:\n${spec}\n`;
const orders = service("orders", "  ports: [{ port: 80 }]\n  operations:\n    GetItem: GET /items/{id}");

test("apply stores, says what became of each, and get shows it in three forms", async () => {
  const path = file(
    "orders.yaml",
    `${orders}---\n{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: orders, namespace: shop }, spec: {} }\n`,
  );
  expect(await countersign(["apply", "--dry-run", "-f", path])).toEqual({
    status: 0,
    stdout: "Service shop/orders created (dry run)\nWorkload shop/orders created (dry run)\n",
    stderr: "",
  });
  expect(await countersign(["get", "services"])).toEqual({ status: 0, stdout: "none\n", stderr: "" });
  expect((await countersign(["apply", "-f", path])).stdout).toBe("Service shop/orders created\nWorkload shop/orders created\n");
  expect((await countersign(["apply", "-f", "-"], orders)).stdout).toBe("Service shop/orders unchanged\n");

  const table = await countersign(["get", "service"]);
  expect(table.stdout).toBe("NAMESPACE  NAME    KIND\nshop       orders  Service\n");
  const json = await countersign(["get", "Services", "orders", "-o", "json"]);
  expect(JSON.parse(json.stdout)).toMatchObject([{ kind: "Service", metadata: { name: "orders", namespace: "shop" } }]);
  // What get prints, apply takes.
  const yaml = await countersign(["get", "services", "-n", "shop", "-o", "yaml"]);
  expect((await countersign(["apply", "--json", "-f", "-"], yaml.stdout)).stdout).toContain('"outcome":"unchanged"');
});

test("hosts outside the mesh are a kind like any other", async () => {
  const external =
    "apiVersion: countersign.dev/v1\nkind: ExternalService\nmetadata: { name: payments, namespace: shop }\nspec:\n  hosts: [api.example.com]\n  ports: [{ port: 443, protocol: tls }]\n";
  expect((await countersign(["apply", "-f", "-"], external)).stdout).toBe("ExternalService shop/payments created\n");
  const json = await countersign(["get", "externalservices", "payments", "-o", "json"]);
  expect(JSON.parse(json.stdout)).toMatchObject([{ spec: { hosts: ["api.example.com"], policy: "optional" } }]);
  expect(failure(await countersign(["apply", "-f", "-"], external.replace("tls", "https")))).toMatch(
    /:6:\d+: spec\.ports\[0\]\.protocol: expected one of http, h2, grpc, tls, tcp, found "https"$/,
  );
});

describe("mistakes in files name file, line and field", () => {
  test.each<[string, string, RegExp[]]>([
    ["a field misspelt", service("bad", "  prots: [{ port: 80 }]"), [/^countersign: bad\.yaml:5:3: spec\.prots: .*did you mean ports\?/]],
    [
      "a port that is none",
      service("bad", "  ports: [{ port: 80000 }]"),
      [/^countersign: bad\.yaml:5:\d+: spec\.ports\[0\]\.port: expected a whole number from 1 to 65535, found 80000/],
    ],
    [
      "a tier that is none",
      service("bad", "  tier: gold"),
      [/^countersign: bad\.yaml:5:\d+: spec\.tier: expected .*critical.*, found "gold"/],
    ],
    [
      "two mistakes at once",
      service("bad", "  ports: [{ port: x }]\n  tier: gold"),
      [/^countersign: bad\.yaml:5:\d+: spec\.ports\[0\]\.port: /, /^countersign: bad\.yaml:6:\d+: spec\.tier: /],
    ],
    [
      "a kind that is none",
      "apiVersion: countersign.dev/v1\nkind: Servcie\nmetadata: { name: bad }\nspec: {}\n",
      [/^countersign: bad\.yaml:2:\d+: kind: .*did you mean Service\?/],
    ],
    ["no kind", "apiVersion: countersign.dev/v1\nmetadata: { name: bad }\n", [/^countersign: bad\.yaml:1:1: kind: /]],
    ["YAML that is none", "kind: [Service\n", [/^countersign: bad\.yaml:\d+:\d+: /]],
    ["a key twice", service("bad", "  tier: basic\n  tier: critical"), [/^countersign: bad\.yaml:6:3: /]],
    [
      "a policy that is none",
      service(
        "bad",
        "  resourcePolicy:\n    Version: '2012-10-17'\n    Statement:\n      - { Effect: Maybe, Principal: '*', Action: '*', Resource: '*' }",
      ),
      [/^countersign: bad\.yaml:8:\d+: .*Effect/],
    ],
  ])("%s", async (_, content, expected) => {
    const outcome = await countersign(["apply", "-f", file("bad.yaml", content)]);
    expect(outcome).toMatchObject({ status: 1, stdout: "" });
    const lines = outcome.stderr.trimEnd().split("\n");
    expect(lines).toEqual(expected.map((form) => expect.stringMatching(form) as string));
  });

  test("of several files, one mistake keeps all of them out", async () => {
    const good = file("good.yaml", service("fine", "  tier: basic"));
    const bad = file("bad.yaml", service("bad", "  tier: gold"));
    expect(failure(await countersign(["apply", "-f", good, bad]))).toContain("bad.yaml:5");
    expect(failure(await countersign(["get", "service", "fine"]))).toBe("countersign: there is no Service named fine");
  });

  test("what only the control plane can know is told as well, and nothing is stored", async () => {
    const binding =
      "apiVersion: countersign.dev/v1\nkind: RoleBinding\nmetadata: { name: b, namespace: shop }\nspec: { workload: orders, service: orders, role: nobody }\n";
    expect(failure(await countersign(["apply", "-f", "-"], binding))).toContain("nobody");
    expect((await countersign(["get", "rolebindings"])).stdout).toBe("none\n");
  });
});

test.each<[string, string[], RegExp]>([
  ["a file that is not there", ["apply", "-f", "missing.yaml"], /missing\.yaml/],
  ["a kind that is none", ["get", "servces"], /servces is no kind: .*did you mean service/],
  ["a name that is none", ["get", "service", "nobody"], /there is no Service named nobody/],
  ["a form that is none", ["get", "services", "-o", "xml"], /table, yaml or json, not xml/],
  [
    "a socket that nobody listens on",
    ["get", "services", "--socket", "/nonexistent.sock"],
    /no control plane answers on \/nonexistent\.sock/,
  ],
])("%s is one line", async (_, args, message) => {
  expect(failure(await countersign(args))).toMatch(message);
});

test("which control plane must be said", async () => {
  expect(failure(await run(["get", "services"]))).toContain("COUNTERSIGN_ADMIN_SOCKET");
});
