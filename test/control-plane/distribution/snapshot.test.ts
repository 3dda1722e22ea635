import { describe, expect, test } from "vitest";
import { policyFromJson } from "../../../common/policy/document.ts";
import { fromString } from "../../../common/spiffe/id.ts";
import type { SpiffeId } from "../../../common/spiffe/id.ts";
import type { ServiceRecord } from "../../../control-plane/kubernetes/service-record.ts";
import { buildSnapshot, contentKey } from "../../../control-plane/distribution/snapshot.ts";
import { stateFromYaml } from "../mesh-state.ts";
import type { Records } from "../mesh-state.ts";

const id = (account: string) => fromString(`spiffe://prod.example/ns/shop/sa/${account}`);
const at = (spiffeId: SpiffeId, address = "10.0.0.1") => ({ spiffeId, address });
const snapshotFor = (yaml: string, account: string, endpoints: readonly string[] = []) =>
  buildSnapshot(stateFromYaml(yaml, endpoints), { bundles: [], sessionJwks: "{}" }, at(id(account)));
const document = (kind: string, name: string, spec: string) =>
  `---\n{ apiVersion: countersign.dev/v1, kind: ${kind}, metadata: { name: ${name}, namespace: shop }, spec: ${spec} }\n`;
const trust = 'trustPolicy: { Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: "*", Action: "sts:AssumeRole" }] }';
const allow = (action: string, resource = '"*"') =>
  `{ Version: "2012-10-17", Statement: [{ Effect: Allow, Action: "${action}", Resource: ${resource} }] }`;
const orders = document("Service", "orders", "{ ports: [{ port: 80 }] }");

test("endpoints are those of identities that may serve", () => {
  const { destinations } = snapshotFor(orders, "x", ["orders@instance-a@10.0.0.1:1", "thief@instance-c@10.0.0.9:1"]);
  expect(destinations[0]?.endpoints.map(({ instance }) => instance)).toEqual(["instance-a"]);
});

test("a service may be served by others than its namesake", () => {
  const yaml = document("Service", "orders", "{ identities: [{ serviceAccount: a }, { namespace: lab, serviceAccount: b }] }");
  expect(snapshotFor(yaml, "a").served.map(({ name }) => name)).toEqual(["orders"]);
  expect(snapshotFor(yaml, "orders").served).toEqual([]);
});

test("a service without ports is nowhere to go", () => {
  expect(snapshotFor(document("Service", "worker", "{ calls: [orders] }") + orders, "worker").destinations.map(({ name }) => name)).toEqual(
    ["orders"],
  );
});

test("a role binding goes before the service-linked role, and only for its workload", () => {
  const yaml =
    orders +
    document("Service", "storefront", "{ calls: [orders] }") +
    document("Workload", "storefront", "{}") +
    document("Role", "checkout", `{ ${trust} }`) +
    document("RoleBinding", "b", "{ workload: storefront, service: orders, role: checkout }");
  const roleOf = (account: string) => snapshotFor(yaml, account).destinations.find(({ name }) => name === "orders")?.roleArn;
  expect(roleOf("storefront")).toBe("arn:mesh:iam:prod.example:shop:role/checkout");
  expect(roleOf("orders")).toBe("arn:mesh:iam:prod.example:shop:role/service-linked/orders");
  expect(roleOf("stranger")).toBe("");
});

test("of two services that an identity serves, the one that declares the call lends its role", () => {
  const yaml =
    orders +
    document("Service", "a", "{ identities: [{ serviceAccount: twin }] }") +
    document("Service", "b", "{ identities: [{ serviceAccount: twin }], calls: [orders] }");
  const { destinations } = snapshotFor(yaml, "twin");
  expect(destinations.find(({ name }) => name === "orders")?.roleArn).toBe("arn:mesh:iam:prod.example:shop:role/service-linked/b");
});

describe("host names that several claim", () => {
  const service = (name: string, namespace: string, spec = "") =>
    `---\n{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: ${name}, namespace: ${namespace} }, spec: { ports: [{ port: 80 }] ${spec} } }\n`;
  const meaning = (yaml: string, namespace: string, records: Records = {}) => {
    const member = at(fromString(`spiffe://prod.example/ns/${namespace}/sa/x`));
    const { destinations } = buildSnapshot(stateFromYaml(yaml, [], 1, "", records), { bundles: [], sessionJwks: "{}" }, member);
    return new Map(destinations.flatMap((each) => each.hostnames.map((hostname) => [hostname, `${each.namespace}/${each.name}`])));
  };

  test("a bare name is the caller's own namespace's, or the only one's", () => {
    const yaml = service("orders", "shop") + service("orders", "lab") + service("other", "lab");
    expect(["shop", "lab", "third"].map((namespace) => meaning(yaml, namespace).get("orders"))).toEqual([
      "shop/orders",
      "lab/orders",
      undefined,
    ]);
    expect(meaning(yaml, "third").get("orders.shop")).toBe("shop/orders");
    expect(meaning(yaml, "third").get("other")).toBe("lab/other");
  });

  test("a qualified name is its service's, whoever claims it", () => {
    const yaml =
      service("a", "lab", ", hostnames: [a, orders.shop.svc, api.example.com]") +
      service("orders", "shop") +
      service("b", "shop", ", hostnames: [api.example.com]");
    expect(meaning(yaml, "lab").get("orders.shop.svc")).toBe("shop/orders");
    expect(["lab", "shop", "third"].map((namespace) => meaning(yaml, namespace).get("api.example.com"))).toEqual([
      "lab/a",
      "shop/b",
      "lab/a",
    ]);
  });

  test("a bare name of a cluster's Service is nobody else's business", () => {
    const records = {
      orders: { ports: [{ port: 80, targetPort: 80 }], addresses: [], identities: [], instances: { ready: [], unready: [] } },
    };
    expect([meaning("", "lab", records).get("orders"), meaning("", "shop", records).get("orders")]).toEqual([undefined, "shop/orders"]);
    expect(meaning("", "lab", records).get("orders.shop")).toBe("shop/orders");
  });
});

describe("services of a cluster", () => {
  const record = (ready: string[], more: Partial<ServiceRecord> = {}): ServiceRecord => ({
    ports: [{ port: 80, targetPort: 8080, protocol: "http" }],
    addresses: ["10.96.0.10"],
    identities: [{ namespace: "shop", serviceAccount: "default" }],
    instances: { ready, unready: [] },
    ...more,
  });
  const endpoints = ["default@instance-a@10.0.0.1:15006", "default@instance-b@10.0.0.2:15006", "default@instance-c@[fd00:0::1]:15006"];
  const build = (yaml: string, records: Records, address = "10.0.0.1", account = "default") =>
    buildSnapshot(stateFromYaml(yaml, endpoints, 1, "", records), { bundles: [], sessionJwks: "{}" }, at(id(account), address));
  const two = {
    a: record(["10.0.0.1", "fd00::1"]),
    b: record(["10.0.0.2"], { instances: { ready: ["10.0.0.2"], unready: ["10.0.0.1"] } }),
  };

  test("go to their own pods, and not to others of the same account", () => {
    const reached = build("", two).destinations.map(({ name, endpoints }) => [name, endpoints.map(({ instance }) => instance)]);
    expect(reached).toEqual([
      ["a", ["instance-a", "instance-c"]],
      ["b", ["instance-b"]],
    ]);
  });

  test.each([
    ["10.0.0.1", ["a", "b"]],
    ["10.0.0.2", ["b"]],
    ["fd00::1", ["a"]],
    ["10.0.0.9", []],
  ])("the pod at %s serves %j, ready or not", (address, names) => {
    expect(build("", two, address).served.map(({ name }) => name)).toEqual(names);
    expect(contentKey(stateFromYaml("", [], 1, "", two), at(id("default"), address))).toBe(
      [id("default"), ...names.map((name) => `shop/${name}`)].join(" "),
    );
  });

  test("a pod calls as what it serves, and as what its account may where it serves nothing", () => {
    const roleAt = (address: string) => build("", two, address).destinations[0]?.roleArn;
    expect(roleAt("10.0.0.2")).toBe("arn:mesh:iam:prod.example:shop:role/service-linked/b");
    expect(roleAt("10.0.0.9")).toBe("arn:mesh:iam:prod.example:shop:role/service-linked/a");
    expect(build("", two, "10.0.0.1", "stranger").destinations[0]?.roleArn).toBe("");
  });

  test("a resource of the same name declares what the cluster does not say, and goes before what it does", () => {
    const spec =
      "{ ports: [{ port: 80, permissive: true }, { port: 81, targetPort: 9 }], tier: critical, identities: [{ serviceAccount: x }] }";
    const [service] = build(document("Service", "a", spec), two, "10.0.0.1", "x").served;
    expect(service).toMatchObject({
      tier: "critical",
      addresses: ["10.96.0.10"],
      ports: [
        { port: 80, targetPort: 8080, protocol: "http", permissive: true },
        { port: 81, targetPort: 9, protocol: "", permissive: false },
      ],
    });
    expect(build(document("Service", "a", spec), two).served.map(({ name }) => name)).toEqual(["b"]);
  });

  test("without pods that are ready there is nowhere to go", () => {
    expect(build("", { a: record([]) }).destinations).toMatchObject([{ name: "a", endpoints: [] }]);
  });

  test("who only calls has a role, whatever the account is called", () => {
    const caller = { identities: [{ namespace: "shop", serviceAccount: "nightly.job" }], ports: [], addresses: [] };
    const { destinations, served } = build("", { ...two, "@nightly.job": caller }, "10.0.0.7", "nightly.job");
    expect(destinations.map(({ name, roleArn }) => [name, roleArn])).toEqual(
      ["a", "b"].map((name) => [name, "arn:mesh:iam:prod.example:shop:role/service-linked/@nightly.job"]),
    );
    expect(served.map(({ name }) => name)).toEqual(["@nightly.job"]);
  });
});

describe("calls that nobody declared", () => {
  const services =
    orders +
    document("Service", "quiet", "{}") +
    document("Service", "closed", "{ calls: [] }") +
    document("Service", "narrow", "{ calls: [billing] }") +
    "---\n{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: elsewhere, namespace: lab }, spec: { ports: [{ port: 80 }] } }\n";
  const may = (defaultCalls: string, account: string, namespace = "shop") => {
    const state = stateFromYaml(services, [], 1, `defaultCalls: ${defaultCalls}`);
    const caller = buildSnapshot(
      state,
      { bundles: [], sessionJwks: "{}" },
      at(fromString(`spiffe://prod.example/ns/${namespace}/sa/${account}`)),
    );
    const arn = caller.destinations.find(({ name }) => name === "orders")?.roleArn;
    const { roles } = buildSnapshot(state, { bundles: [], sessionJwks: "{}" }, at(id("orders")));
    const documents = roles.find(({ roleArn }) => roleArn === arn)?.policies.map(({ document }) => document) ?? [];
    return documents.flatMap((text) =>
      policyFromJson(text, "identity").statements.flatMap(({ action, resource }) => [action.patterns, resource?.patterns]),
    );
  };
  const all = [["orders:*"], ["arn:mesh:orders:prod.example:shop:*"]];

  test("are none, by default", () => {
    expect(may("none", "quiet")).toEqual([]);
  });
  test("are those to its own namespace, where the mesh says so", () => {
    expect(may("namespace", "quiet")).toEqual(all);
    expect(may("namespace", "orders")).toEqual(all);
    expect(may("namespace", "elsewhere", "lab")).toEqual([]);
  });
  test("are none for who declared anything, be it nothing", () => {
    expect(may("namespace", "closed")).toEqual([]);
    expect(may("namespace", "narrow")).toEqual([]);
  });
});

test("a receiver sees only roles, policies and statements that can concern it", () => {
  const yaml =
    orders +
    document("Service", "inventory", "{ ports: [{ port: 81 }] }") +
    document(
      "Policy",
      "both",
      `{ mode: audit, document: { Version: "2012-10-17", Statement: [
      { Sid: A, Effect: Allow, Action: "orders:*", Resource: "*" }, { Sid: B, Effect: Allow, Action: "inventory:*", Resource: "*" }] } }`,
    ) +
    document("Role", "r", `{ ${trust}, permissionPolicies: [both, ${allow("inventory:Get")}], tags: { team: a } }`) +
    document("Role", "unrelated", `{ ${trust}, permissionPolicies: [${allow("billing:*")}] }`);
  const { roles } = snapshotFor(yaml, "orders");
  expect(roles).toMatchObject([{ roleArn: "arn:mesh:iam:prod.example:shop:role/r", tags: { team: "a" }, permissionsBoundary: "" }]);
  expect(roles[0]?.policies).toMatchObject([{ name: "both", mode: "audit" }]);
  const [policy] = roles[0]?.policies ?? [];
  expect(policyFromJson(policy?.document ?? "", "identity").statements.map(({ sid }) => sid)).toEqual(["A"]);
});

test("with a resource policy, roles without permissions count too, within their boundary", () => {
  const resourcePolicy = '{ Version: "2012-10-17", Statement: [{ Effect: Allow, Principal: "*", Action: "orders:*", Resource: "*" }] }';
  const yaml =
    document("Service", "orders", `{ ports: [{ port: 80 }], resourcePolicy: ${resourcePolicy} }`) +
    document("Role", "bounded", `{ ${trust}, permissionsBoundary: ${allow("billing:*")} }`);
  const { roles, served } = snapshotFor(yaml, "orders");
  expect(served[0]?.resourcePolicy).toContain('"Principal":"*"');
  const bounded = roles.find(({ roleArn }) => roleArn.endsWith("bounded"));
  expect(policyFromJson(bounded?.permissionsBoundary ?? "", "identity").statements).toEqual([]);
});

test("a policy that is not there is sent as one that cannot be read, so that it denies", () => {
  const yaml = orders + document("Role", "r", `{ ${trust}, permissionPolicies: [gone, ${allow("orders:*")}], permissionsBoundary: gone }`);
  const [role] = snapshotFor(yaml, "orders").roles;
  expect(role?.policies.map(({ name }) => name)).toEqual(["gone", "r/inline/1"]);
  for (const text of [role?.policies[0]?.document ?? "", role?.permissionsBoundary ?? ""]) {
    expect(() => policyFromJson(text, "identity")).toThrow("a policy has a Statement");
  }
});

test("revocations: dates round up to the second, quarantine needs none", () => {
  const yaml =
    document("Workload", "w", '{ revokedBefore: "2026-01-01T00:00:00.001Z" }') +
    document("Workload", "q", "{ quarantine: true }") +
    document("Role", "r", `{ ${trust}, revokeSessionsIssuedBefore: "2026-01-01T01:00:00+01:00" }`);
  expect(snapshotFor(yaml, "x").revocations).toEqual({
    roles: [{ roleArn: "arn:mesh:iam:prod.example:shop:role/r", issuedBeforeSeconds: 1_767_225_600 }],
    identities: [
      { spiffeId: id("q"), issuedBeforeSeconds: 0, quarantined: true },
      { spiffeId: id("w"), issuedBeforeSeconds: 1_767_225_601, quarantined: false },
    ],
  });
});

test("traffic settings go to callers, limits and addresses to both sides", () => {
  const yaml = document(
    "Service",
    "orders",
    "{ ports: [{ port: 80, targetPort: 8080, protocol: grpc, permissive: true }], addresses: [10.0.0.1], maxConcurrentRequests: 7, traffic: { retries: { attempts: 0 } } }",
  );
  const { served, destinations } = snapshotFor(yaml, "orders");
  const ports = [{ port: 80, targetPort: 8080, protocol: "grpc", permissive: true }];
  expect(served[0]).toMatchObject({ ports, addresses: ["10.0.0.1"], maxConcurrentRequests: 7 });
  expect(destinations[0]).toMatchObject({
    ports,
    addresses: ["10.0.0.1"],
    traffic: { connectTimeoutMs: 5000, requestTimeoutMs: 0, retryAttempts: 0, retryBudgetPercent: 20, maxEjectionPercent: 50 },
  });
});

describe("calls out of the mesh", () => {
  const external = (namespace: string, name: string, spec = "") =>
    `---\n{ apiVersion: countersign.dev/v1, kind: ExternalService, metadata: { name: ${name}, namespace: ${namespace} }, spec: { hosts: [${name}.example], ports: [{ port: 443, protocol: tls }], ${spec} } }\n`;

  test("are closed unless the mesh says otherwise", () => {
    expect(snapshotFor("", "x").mesh?.egress).toBe("declared");
  });

  test("know the hosts of their namespace and those of the Mesh's", () => {
    const yaml =
      external("shop", "own", "policy: required, addresses: [10.0.0.0/8]") + external("default", "all") + external("lab", "other");
    expect(snapshotFor(yaml, "x").externalServices).toEqual([
      {
        namespace: "default",
        name: "all",
        hosts: ["all.example"],
        ports: [{ port: 443, protocol: "tls" }],
        addresses: [],
        policyRequired: false,
      },
      {
        namespace: "shop",
        name: "own",
        hosts: ["own.example"],
        ports: [{ port: 443, protocol: "tls" }],
        addresses: ["10.0.0.0/8"],
        policyRequired: true,
      },
    ]);
  });

  const policies = `permissionPolicies: [${allow("external:*", '"arn:mesh:external:prod.example:shop:*.cdn.example"')}, ${allow("orders:*")}]`;

  test("know what all the workload's own roles say of them, and nothing else", () => {
    const yaml =
      orders +
      document("Service", "storefront", "{ calls: [orders, { external: api.example }, { external: '*.pay.example' }] }") +
      document("Workload", "storefront", "{}") +
      document("Role", "checkout", `{ ${trust}, ${policies}, permissionsBoundary: ${allow("external:*")} }`) +
      document("Role", "stranger", `{ ${trust}, ${policies} }`) +
      document("RoleBinding", "b", "{ workload: storefront, service: orders, role: checkout }");
    const { ownRoles } = snapshotFor(yaml, "storefront");
    const own = ownRoles.map(({ roleArn, policies, permissionsBoundary }) => ({
      role: roleArn.slice(roleArn.indexOf("role/")),
      resources: policies.map(({ document }) =>
        policyFromJson(document, "identity").statements.map(({ action, resource }) => [action.patterns, resource?.patterns]),
      ),
      bounded: permissionsBoundary !== "",
    }));
    expect(own).toEqual([
      { role: "role/checkout", resources: [[[["external:*"], ["arn:mesh:external:prod.example:shop:*.cdn.example"]]]], bounded: true },
      {
        role: "role/service-linked/storefront",
        resources: [
          [
            [["external:Connect"], ["arn:mesh:external:prod.example:shop:*.pay.example"]],
            [["external:Connect"], ["arn:mesh:external:prod.example:shop:api.example"]],
          ],
        ],
        bounded: false,
      },
    ]);
    expect(snapshotFor(yaml, "orders").ownRoles).toEqual([]);
  });

  test("leave out what is said of other namespaces' hosts", () => {
    const elsewhere = allow("external:Connect", '"arn:mesh:external:prod.example:lab:a.example"');
    const yaml =
      orders +
      document("Workload", "orders", "{}") +
      document("Role", "r", `{ ${trust}, permissionPolicies: [${elsewhere}] }`) +
      document("RoleBinding", "b", "{ workload: orders, service: orders, role: r }");
    expect(snapshotFor(yaml, "orders").ownRoles).toEqual([]);
  });

  test("a boundary alone may deny them, and a policy that is missing denies", () => {
    const yaml =
      orders +
      document("Workload", "orders", "{}") +
      document("Role", "r", `{ ${trust}, permissionPolicies: [nowhere], permissionsBoundary: ${allow("external:*")} }`) +
      document("Role", "s", `{ ${trust}, permissionsBoundary: ${allow("external:*")} }`) +
      document("RoleBinding", "b", "{ workload: orders, service: orders, role: r }") +
      document("RoleBinding", "c", "{ workload: orders, service: inventory, role: s }");
    expect(snapshotFor(yaml, "orders").ownRoles).toMatchObject([
      { policies: [{ name: "nowhere", document: "{}" }] },
      { policies: [], permissionsBoundary: expect.stringContaining("external") as unknown },
    ]);
  });

  test("a workload that is none of the mesh's has no namespace to call from", () => {
    const state = stateFromYaml(external("shop", "own") + external("default", "all"));
    const { externalServices, ownRoles } = buildSnapshot(
      state,
      { bundles: [], sessionJwks: "{}" },
      at(fromString("spiffe://prod.example/agent")),
    );
    expect(externalServices.map(({ name }) => name)).toEqual(["all"]);
    expect(ownRoles).toEqual([]);
  });
});

test("presigned URLs are for services that allow them, and bound to their signer unless they say otherwise", () => {
  const presigned = (spec: string) => {
    const [served] = snapshotFor(document("Service", "orders", spec), "orders").served;
    return [served?.presignedMaxExpiresSeconds, served?.presignedAnyBearer];
  };
  expect(presigned("{}")).toEqual([0, false]);
  expect(presigned("{ presigned: { maxExpiresSeconds: 900 } }")).toEqual([900, false]);
  expect(presigned("{ presigned: { maxExpiresSeconds: 604800, bearer: any } }")).toEqual([604_800, true]);
});
