import { expect, test } from "vitest";
import { ResourceError } from "../../../common/resources/error.ts";
import { readResource, readResources } from "../../../common/resources/read.ts";
import { kinds } from "../../../common/resources/resource.ts";

const messageOf = (text: string): string[] => {
  try {
    readResources(text, "mesh.yaml");
  } catch (error) {
    expect(error).toBeInstanceOf(ResourceError);
    return (error as ResourceError).message.split("\n");
  }
  return [];
};

const head = (kind: string, name = "orders") => `apiVersion: countersign.dev/v1\nkind: ${kind}\nmetadata: { name: ${name} }\n`;
const service = (spec: string) => `${head("Service")}spec:\n${spec.replaceAll(/^/gm, "  ")}\n`;

test("reads every kind, with defaults and short forms", () => {
  const text = [
    `${head("Mesh", "mesh")}spec: { trustDomain: prod.example }\n`,
    service(
      "ports: [{ port: 80 }]\ncalls: [inventory]\noperations: { GetItem: 'GET /items/{id}', PutItem: { http: 'PUT /i/{id}', resource: 'item/{id}' } }",
    ),
    `${head("Workload")}spec: { command: node orders.ts, port: 8080, env: { A: 1, B: true } }\n`,
    `${head("Policy", "p")}spec: { document: { Version: 2012-10-17, Statement: { Effect: Allow, Action: "*", Resource: "*" } } }\n`,
    `${head("Role", "r")}spec: { trustPolicy: { Version: 2012-10-17, Statement: [{ Effect: Allow, Principal: "*", Action: "sts:AssumeRole" }] }, permissionPolicies: [p] }\n`,
    `${head("RoleBinding", "b")}spec: { workload: orders, service: inventory, role: { name: r, namespace: iam } }\n`,
    `${head("ExternalService", "payments")}spec: { hosts: [api.example.com, "*.cdn.example", 203.0.113.7], ports: [{ port: 443, protocol: tls }] }\n`,
  ].join("---\n");
  const resources = readResources(text, "mesh.yaml");
  expect(resources.map(({ kind }) => kind).sort()).toEqual([...kinds].sort());
  expect(resources[0]).toMatchObject({
    metadata: { name: "mesh", namespace: "default", labels: {} },
    spec: { svidLifetimeSeconds: 3600, sessionLifetimeSeconds: 3600, auditSample: 0.01, defaultTier: "standard", egress: "declared" },
  });
  expect(resources[1]).toMatchObject({
    spec: {
      ports: [{ port: 80, permissive: false }],
      calls: [{ service: "inventory" }],
      operations: {
        GetItem: { http: "GET /items/{id}", resource: "items/{id}" },
        PutItem: { http: "PUT /i/{id}", resource: "item/{id}" },
      },
      operationsMode: "open",
      enforcement: "enforce",
      addresses: [],
      maxConcurrentRequests: 0,
      traffic: {
        connectTimeoutMs: 5000,
        requestTimeoutMs: 0,
        idleTimeoutMs: 0,
        maxConcurrentRequests: 1024,
        maxPendingRequests: 1024,
        retries: { attempts: 2, budgetPercent: 20 },
        outlierDetection: { consecutiveFailures: 5, baseEjectionSeconds: 30, maxEjectionPercent: 50 },
      },
    },
  });
  expect(resources[2]).toMatchObject({ spec: { env: { A: "1", B: "true" }, quarantine: false } });
  expect(resources[5]).toMatchObject({ spec: { service: { name: "inventory" }, role: { name: "r", namespace: "iam" } } });
  expect(resources[6]).toMatchObject({
    spec: { hosts: ["api.example.com", "*.cdn.example", "203.0.113.7"], ports: [{ port: 443, protocol: "tls" }], policy: "optional" },
  });
  for (const resource of resources) expect(readResource(JSON.stringify(resource), "again")).toEqual(resource);
});

test("names file, line, column, field, what was expected and what was found, all at once", () => {
  const text = `${service("ports:\n  - port: http\n    protocl: h2\ntier: gold\nhostnames: [Orders]")}---\n${head("Servce")}---\n- a\n`;
  expect(messageOf(text)).toEqual([
    'mesh.yaml:6:13: spec.ports[0].port: expected a whole number from 1 to 65535, found "http"',
    "mesh.yaml:7:7: spec.ports[0].protocl: an unknown field; did you mean protocol?",
    'mesh.yaml:8:9: spec.tier: expected one of critical, standard, basic, found "gold"',
    'mesh.yaml:9:15: spec.hostnames[0]: expected a lower-case host name without port, found "Orders"',
    'mesh.yaml:12:7: kind: expected one of Mesh, Service, Workload, Role, Policy, RoleBinding, ExternalService, found "Servce"; did you mean Service?',
    "mesh.yaml:15:1: expected a resource, found a list",
  ]);
});

test.each([
  ["a missing field", head("Workload"), "mesh.yaml:1:1: spec: expected a mapping, found nothing"],
  [
    "a missing name",
    "apiVersion: countersign.dev/v1\nkind: Workload\nmetadata: {}\nspec: {}\n",
    "mesh.yaml:3:11: metadata.name: expected text, found nothing",
  ],
  [
    "another version",
    head("Workload").replace("v1", "v2") + "spec: {}\n",
    'mesh.yaml:1:13: apiVersion: expected countersign.dev/v1, found "countersign.dev/v2"',
  ],
  [
    "an upper-case name",
    `${head("Workload", "Orders")}spec: {}\n`,
    'mesh.yaml:3:19: metadata.name: expected a name of at most 63 lower-case letters, digits and inner hyphens, found "Orders"',
  ],
  [
    "another Mesh",
    `${head("Mesh", "second")}spec: { trustDomain: a }\n`,
    'mesh.yaml:3:19: metadata.name: expected "mesh": there is one Mesh, found "second"',
  ],
  [
    "a port out of range",
    service("ports: [{ port: 65536 }]"),
    "mesh.yaml:5:19: spec.ports[0].port: expected a whole number from 1 to 65535, found 65536",
  ],
  ["a port twice", service("ports: [{ port: 1 }, { port: 1 }]"), "mesh.yaml:5:32: spec.ports[1].port: expected each port once, found 1"],
  [
    "an operation of another form",
    service("operations:\n  Put: /items"),
    'mesh.yaml:6:10: spec.operations.Put: expected a method and a path template, such as GET /items/{id}, found "/items"',
  ],
  [
    "an operation called as a method",
    service("operations: { Get: GET /i }"),
    'mesh.yaml:5:15: spec.operations: expected operations that can be matched: operation "Get": a name that is a method is the action of undeclared requests, found a mapping',
  ],
  [
    "an operation that is a number",
    service("operations: { Get: 7 }"),
    "mesh.yaml:5:22: spec.operations.Get: expected text or a mapping, found 7",
  ],
  [
    "a resource of other parameters",
    service("operations: { Get: { http: GET /i, resource: '{id}' } }"),
    "mesh.yaml:5:22: spec.operations.Get: expected a resource whose parameters all occur in the path, found a mapping",
  ],
  [
    "two operations of one shape",
    service("operations: { A: 'GET /i/{a}', B: 'GET /i/{b}' }"),
    'mesh.yaml:5:37: spec.operations.B: expected a template that A does not already have, found "GET /i/{b}"',
  ],
  [
    "an operation's name",
    service("operations: { get-it: GET /i }"),
    'mesh.yaml:5:17: spec.operations.get-it: expected an operation\'s name of letters, digits and underscores, found "get-it"',
  ],
  [
    "a misspelt inner field",
    service("calls: [{ servce: a }]"),
    "mesh.yaml:5:13: spec.calls[0].servce: an unknown field; did you mean service?",
  ],
  ["a call to nobody", service("calls: [{ actions: [Get] }]"), "mesh.yaml:5:11: spec.calls[0].service: expected text, found nothing"],
  [
    "a call to two",
    service("calls: [{ service: a, external: b.example }]"),
    "mesh.yaml:5:25: spec.calls[0].external: a field that does not go with the others",
  ],
  [
    "a call to a URL",
    service("calls: [{ external: 'https://a.example/' }]"),
    'mesh.yaml:5:23: spec.calls[0].external: expected a lower-case host name without port, such as api.example.com or *.example.com, or an IP address, found "https://a.example/"',
  ],
  [
    "an address that is none",
    service("addresses: [10.0.0.256]"),
    'mesh.yaml:5:15: spec.addresses[0]: expected an IP address, found "10.0.0.256"',
  ],
  [
    "a misspelt setting of traffic",
    service("traffic: { retries: { attempt: 3 } }"),
    "mesh.yaml:5:25: spec.traffic.retries.attempt: an unknown field; did you mean attempts?",
  ],
  [
    "a time-out in words",
    service("traffic: { connectTimeoutMs: 5s }"),
    'mesh.yaml:5:32: spec.traffic.connectTimeoutMs: expected a whole number from 1 to 600000, found "5s"',
  ],
  [
    "a service with the name of something else in ARNs",
    `${head("Service", "external")}spec: {}\n`,
    'mesh.yaml:3:19: metadata.name: expected a name other than external, iam, sts, which ARNs use for other things, found "external"',
  ],
  [
    "another egress",
    `${head("Mesh", "mesh")}spec: { trustDomain: a, egress: deny }\n`,
    'mesh.yaml:4:33: spec.egress: expected one of allow, declared, found "deny"',
  ],
  ["a key twice", service("tier: basic\ntier: basic"), "mesh.yaml:6:3: map keys must be unique"],
  ["an alias", service("hostnames: &a [a]\ncalls: *a"), "mesh.yaml:6:10: expected plain values, found an alias"],
  ["a tag", service("hostnames: !!binary aGk="), "mesh.yaml:5:23: expected plain values, found a tag"],
  ["an octal number", service("ports: [{ port: 0o17 }]"), "mesh.yaml:5:19: expected a number as JSON writes it, or quotes, found 0o17"],
  [
    "a bad date",
    `${head("Workload")}spec: { revokedBefore: yesterday }\n`,
    'mesh.yaml:4:24: spec.revokedBefore: expected a date and time such as 2026-01-31T12:00:00Z, found "yesterday"',
  ],
  [
    "a resource twice",
    `${head("Workload")}spec: {}\n---\n${head("Workload")}spec: {}\n`,
    "mesh.yaml:8:19: metadata.name: expected each resource once, found Workload default/orders again",
  ],
])("%s", (_name, text, message) => {
  expect(messageOf(text)).toContain(message);
});

const external = (spec: string) => `${head("ExternalService")}spec: { ${spec} }\n`;
const ports = "ports: [{ port: 443, protocol: tls }]";
const anExternalHost = "a lower-case host name without port, such as api.example.com or *.example.com, or an IP address";
const aNetwork = "an IP address, or a network such as 10.0.0.0/8 with nothing behind its length";

const refusedHosts = [
  "A.example",
  "a.example.",
  "a..example",
  "a.*.example",
  "*",
  "*.",
  "**.example",
  "a.example:443",
  "10.0.0.0/8",
  "127.1",
  "0x7f.1",
  "::x",
  "-a.example",
  "ä.example",
];
const refusedNetworks = ["10.0.0.1/8", "10.0.0.0/33", "a.example", "fe80::%1"];
const cases: readonly (readonly [string, string])[] = [
  [`hosts: [a.example]`, "mesh.yaml:4:7: spec.ports: expected a list, found nothing"],
  [`hosts: [a.example], ports: []`, "mesh.yaml:4:36: spec.ports: expected a list of at least 1 item, found a list"],
  [
    `hosts: [a.example], ports: [{ port: 443 }]`,
    "mesh.yaml:4:37: spec.ports[0].protocol: expected one of http, h2, grpc, tls, tcp, found nothing",
  ],
  [
    `hosts: [a.example], ports: [{ port: 443, protocol: https }]`,
    'mesh.yaml:4:60: spec.ports[0].protocol: expected one of http, h2, grpc, tls, tcp, found "https"',
  ],
  [
    `hosts: [a.example], ports: [{ port: 1, protocol: tcp }, { port: 1, protocol: tls }]`,
    "mesh.yaml:4:73: spec.ports[1].port: expected each port once, found 1",
  ],
  [ports, "mesh.yaml:4:7: spec.hosts: expected a list, found nothing"],
  [`${ports}, hosts: []`, "mesh.yaml:4:55: spec.hosts: expected a list of at least 1 item, found a list"],
  ...refusedHosts.map(
    (host) =>
      [`${ports}, hosts: ["${host}"]`, `mesh.yaml:4:56: spec.hosts[0]: expected ${anExternalHost}, found ${JSON.stringify(host)}`] as const,
  ),
  ...refusedNetworks.map(
    (network) =>
      [
        `addresses: ["${network}"], ${ports}, hosts: [a.example]`,
        `mesh.yaml:4:21: spec.addresses[0]: expected ${aNetwork}, found ${JSON.stringify(network)}`,
      ] as const,
  ),
  [`${ports}, hosts: [a.example], policy: deny`, 'mesh.yaml:4:76: spec.policy: expected one of optional, required, found "deny"'],
  [`${ports}, hosts: [a.example], adresses: []`, "mesh.yaml:4:68: spec.adresses: an unknown field; did you mean addresses?"],
];

test.each(cases)("an ExternalService of %s", (spec, message) => {
  expect(messageOf(external(spec))).toEqual([message]);
});

test("addresses have one written form", () => {
  const spec = `${ports}, hosts: ["2001:DB8:0::1"], addresses: ["::ffff:10.0.0.0/104", "FE80:0::/10", 1.2.3.4/32]`;
  const resource = readResource(external(spec), "f");
  expect(resource.spec).toMatchObject({ hosts: ["2001:db8::1"], addresses: ["10.0.0.0/8", "fe80::/10", "1.2.3.4"] });
  expect(readResource(service('addresses: ["::FFFF:10.0.0.1", "FD00::1"]'), "f").spec).toMatchObject({
    addresses: ["10.0.0.1", "fd00::1"],
  });
});

test("mistakes in a policy are placed in the file around it", () => {
  const text = `${head("Role", "r")}spec:
  trustPolicy:
    Version: 2012-10-17
    Statement:
      - Effect: Permit
        Principal: "*"
        Action: sts:AssumeRole
  permissionPolicies:
    - Version: 2012-10-17
      Statement: [{ Effect: Allow, Action: "orders:*", Resource: "*", Principal: "*" }]
`;
  const messages = messageOf(text);
  expect(messages).toHaveLength(2);
  expect(messages[0]).toMatch(/^mesh\.yaml:8:17: spec\.trustPolicy\.Statement\[0\]\.Effect: /);
  expect(messages[1]).toMatch(/^mesh\.yaml:13:\d+: spec\.permissionPolicies\[0\]\.Statement\[0\]/);
});

test.each([
  ["a hundred thousand brackets", "[".repeat(100_000)],
  ["as many mappings", '{"a":'.repeat(100_000)],
  ["a deep document in its place", `${head("Policy")}spec: { document: ${"[".repeat(3000)}${"]".repeat(3000)} }`],
  ["an alias bomb", `a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]`],
  ["too much text", " ".repeat(4 * 1024 * 1024 + 1)],
  ["a NUL", "\0"],
  ["half a surrogate", "\ud800"],
  ["keys of a prototype", `${head("Workload")}spec: { __proto__: { quarantine: true }, constructor: 1 }\n`],
  ["a broken flow", "{ a: [ }"],
])("hostile text is refused within bounds: %s", (_name, text) => {
  const messages = messageOf(text);
  expect(messages.length).toBeGreaterThan(0);
  expect(messages.join("").length).toBeLessThan(100_000);
});

test("nothing in a text is no resource, and one resource is not two", () => {
  expect(readResources("", "f")).toEqual([]);
  expect(readResources("---\n---\n# nothing\n", "f")).toEqual([]);
  expect(() => readResource("", "f")).toThrow("expected one resource, found none");
});

test.each([
  ["{}", "spec.presigned.maxExpiresSeconds: expected a whole number from 1 to 604800, found nothing"],
  ["{ maxExpiresSeconds: 0 }", "spec.presigned.maxExpiresSeconds: expected a whole number from 1 to 604800, found 0"],
  ["{ maxExpiresSeconds: 604801 }", "spec.presigned.maxExpiresSeconds: expected a whole number from 1 to 604800, found 604801"],
  ["{ maxExpiresSeconds: 60, bearer: all }", 'spec.presigned.bearer: expected one of session-workload, any, found "all"'],
])("presigned URLs that no service can allow: %s", (presigned, message) => {
  expect(messageOf(service(`presigned: ${presigned}`))).toEqual([expect.stringContaining(message)]);
});
