/** Where calls go: destinations and their endpoints out of snapshots. */
import { describe, expect, test } from "vitest";
import type { Destination as DestinationMessage, Snapshot } from "../../../common/gen/mesh/v1/mesh.ts";
import { destinationsFromSnapshot, noDestinations } from "../../../sidecar/outbound/destinations.ts";
import { defaultTraffic } from "../../../sidecar/outbound/traffic/settings.ts";

function message(change: Partial<DestinationMessage> = {}): DestinationMessage {
  return {
    namespace: "shop",
    name: "target",
    hostnames: ["target", "target.shop"],
    ports: [],
    endpoints: [{ instance: "instance1", address: "127.0.0.1:1001", spiffeId: "spiffe://test.example/ns/shop/sa/target" }],
    spiffeIds: ["spiffe://test.example/ns/shop/sa/target"],
    roleArn: "arn:mesh:iam:test.example:shop:role/caller",
    tier: "standard",
    allowEncodedSlashes: false,
    addresses: [],
    traffic: undefined,
    ...change,
  };
}
const snapshot = (...destinations: DestinationMessage[]) => ({ destinations }) as unknown as Snapshot;

describe("destinations of a snapshot", () => {
  test("are found by each of their names, and wants of a tier are taken over", () => {
    const { byHost } = destinationsFromSnapshot(
      snapshot(message(), message({ name: "vault", hostnames: ["vault"], tier: "critical" })),
      noDestinations,
    );
    expect(byHost.get("target")).toBe(byHost.get("target.shop"));
    expect(byHost.get("target")).toMatchObject({ scope: "target.shop", maxSessionSeconds: 0 });
    expect(byHost.get("vault")).toMatchObject({ scope: "vault.shop", maxSessionSeconds: 900 });
    // Names from the wire meet no prototype.
    expect(byHost.get("constructor")).toBeUndefined();
  });

  test("are found by their virtual addresses, whatever form these have", () => {
    const { byHost, byAddress } = destinationsFromSnapshot(
      snapshot(
        message({ addresses: ["10.0.0.1", "FD00:0::1"] }),
        message({ name: "vault", hostnames: ["vault"], addresses: ["::ffff:10.0.0.2"] }),
      ),
      noDestinations,
    );
    expect(byAddress.get("10.0.0.1")).toBe(byHost.get("target"));
    expect(byAddress.get("fd00::1")).toBe(byHost.get("target"));
    expect(byAddress.get("10.0.0.2")).toBe(byHost.get("vault"));
    expect(() => destinationsFromSnapshot(snapshot(message({ addresses: ["10.0.0.0/8"] })), noDestinations)).toThrow(TypeError);
  });

  test("have the ports and the traffic settings of the service", () => {
    const port = { port: 80, targetPort: 8080, protocol: "grpc", permissive: false };
    const traffic = {
      connectTimeoutMs: 1,
      requestTimeoutMs: 2,
      idleTimeoutMs: 3,
      maxConcurrentRequests: 4,
      maxPendingRequests: 5,
      retryAttempts: 6,
      retryBudgetPercent: 7,
      consecutiveFailures: 8,
      baseEjectionSeconds: 9,
      maxEjectionPercent: 10,
    };
    const { byHost } = destinationsFromSnapshot(
      snapshot(message({ ports: [port], traffic }), message({ name: "vault", hostnames: ["vault"] })),
      noDestinations,
    );
    expect(byHost.get("target")?.ports).toEqual(new Map([[80, { port: 80, targetPort: 8080, protocol: "grpc" }]]));
    expect(byHost.get("target")?.traffic.settings).toEqual({
      connectTimeoutMs: 1,
      requestTimeoutMs: 2,
      idleTimeoutMs: 3,
      maxConcurrentRequests: 4,
      maxPendingRequests: 5,
      retries: { attempts: 6, budgetPercent: 7 },
      outlierDetection: { consecutiveFailures: 8, baseEjectionSeconds: 9, maxEjectionPercent: 10 },
    });
    expect(byHost.get("vault")?.traffic.settings).toBe(defaultTraffic);
    expect(() => destinationsFromSnapshot(snapshot(message({ ports: [{ ...port, protocol: "quic" }] })), noDestinations)).toThrow(
      TypeError,
    );
  });

  test("an endpoint outlives snapshots, with the calls on their way to it", () => {
    const before = destinationsFromSnapshot(snapshot(message()), noDestinations);
    const [endpoint] = before.byHost.get("target")?.endpoints ?? [];
    endpoint!.inFlight = 3;
    before.byScope.get("target.shop")!.traffic.candidates[0]!.failures = 2;
    const after = destinationsFromSnapshot(snapshot(message({ tier: "critical" })), before);
    expect(after.byHost.get("target")?.endpoints[0]).toBe(endpoint);
    expect(after.endpoints.get("instance1")).toBe(endpoint);
    expect(after.byHost.get("target")?.traffic.candidates).toMatchObject([{ endpoint, failures: 2 }]);
    expect(after.byHost.get("target")?.traffic.breaker).toBe(before.byHost.get("target")?.traffic.breaker);
  });

  test.each([
    ["address", { address: "127.0.0.1:1002" }],
    ["identity", { spiffeId: "spiffe://test.example/ns/shop/sa/other" }],
  ])("one of another %s is another endpoint", (_, change) => {
    const before = destinationsFromSnapshot(snapshot(message()), noDestinations);
    const [given] = message().endpoints;
    const after = destinationsFromSnapshot(snapshot(message({ endpoints: [{ ...given!, ...change }] })), before);
    expect(after.byHost.get("target")?.endpoints[0]).not.toBe(before.byHost.get("target")?.endpoints[0]);
  });

  test("two services of one workload share its endpoint", () => {
    const { byHost, endpoints } = destinationsFromSnapshot(
      snapshot(message(), message({ name: "vault", hostnames: ["vault"] })),
      noDestinations,
    );
    expect(byHost.get("target")?.endpoints[0]).toBe(byHost.get("vault")?.endpoints[0]);
    expect(endpoints.size).toBe(1);
  });

  test("an address that is none refuses the snapshot", () => {
    const [given] = message().endpoints;
    expect(() => destinationsFromSnapshot(snapshot(message({ endpoints: [{ ...given!, address: "nowhere" }] })), noDestinations)).toThrow(
      TypeError,
    );
  });
});
