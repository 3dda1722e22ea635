import { Registry } from "prom-client";
import { beforeEach, describe, expect, test } from "vitest";
import type { Protocol } from "../../../../sidecar/detect/protocol.ts";
import { createEgressDecider, type EgressDecider } from "../../../../sidecar/outbound/egress/decide.ts";
import type { EgressAllowed, EgressDecision } from "../../../../sidecar/outbound/egress/decision.ts";
import type { EgressState } from "../../../../sidecar/outbound/egress/egress-state.ts";
import { createEgressMetrics } from "../../../../sidecar/outbound/egress/metrics.ts";
import { createResolver } from "../../../../sidecar/outbound/egress/resolver.ts";
import { createFakeClock, type FakeClock } from "../../../fakes/clock.ts";
import { arn, egressState, external, role } from "./snapshots.ts";

let clock: FakeClock;
let dns: Map<string, readonly string[]>;
let asked: string[];
let state: EgressState;
let decider: EgressDecider;

beforeEach(() => {
  clock = createFakeClock();
  dns = new Map();
  asked = [];
  const resolver = createResolver({
    lookup(host) {
      asked.push(host);
      const addresses = dns.get(host);
      return addresses === undefined ? Promise.reject(Object.assign(new Error(host), { code: "ENOTFOUND" })) : Promise.resolve(addresses);
    },
    clock,
  });
  decider = createEgressDecider({ state: () => state, resolver, now: clock.now });
});

const public1 = "203.0.113.1";
const public2 = "203.0.113.2";
const metadata = "169.254.169.254";

/** A call to `host:port`; redirected if `original` is given. */
function call(host: string | undefined, port: number, protocol: Protocol, original?: string): Promise<EgressDecision> {
  return decider.decide({ host, port, protocol, originalDestination: original });
}

const refusedFor = (reason: string, label = "other") => expect.objectContaining({ allow: false, reason, label }) as unknown;
const to = (addresses: readonly string[], label = "other") => expect.objectContaining({ allow: true, addresses, label }) as unknown;

describe("declared", () => {
  beforeEach(() => {
    state = egressState("declared", [external("api.example *.cdn.example", "443/tls 80/http"), external("db.example", "5432/tcp")]);
    dns.set("api.example", [public1, public2]);
    dns.set("img.cdn.example", [public1]);
    dns.set("db.example", [public2]);
  });

  test.each([
    ["a listed host over TLS", "api.example", 443, "tls", "api.example"],
    ["a listed host over HTTP/1.1", "api.example", 80, "http1", "api.example"],
    ["a listed host over HTTP/2", "api.example", 80, "h2", "api.example"],
    ["a host under a wildcard", "img.cdn.example", 443, "tls", "*.cdn.example"],
  ] as const)("%s goes to where it was going", async (_name, host, port, protocol, label) => {
    expect(await call(host, port, protocol, public1)).toEqual(to([public1], label));
    expect(asked).toEqual([host]);
  });

  test("a proxied call goes to all that the host has", async () => {
    expect(await call("api.example", 443, "tls")).toEqual(to([public1, public2], "api.example"));
  });

  test.each([
    ["a host that nobody lists", "evil.example", 443, "tls"],
    ["a port that is not listed", "api.example", 22, "tls"],
    ["another label under a wildcard", "a.b.cdn.example", 443, "tls"],
    ["the name of a wildcard itself", "cdn.example", 443, "tls"],
    ["an address", public1, 443, "tls"],
    ["no host over TLS", "", 443, "tls"],
    ["no host over HTTP", undefined, 80, "http1"],
    ["bytes of any kind to a port for TLS", undefined, 443, "tcp"],
    ["a name that is inherited by objects", "constructor", 443, "tls"],
  ] as const)("%s is refused, and not asked for", async (_name, host, port, protocol) => {
    expect(await call(host, port, protocol, public1)).toEqual(refusedFor("egress-undeclared"));
    expect(asked).toEqual([]);
  });

  test.each([
    ["HTTP where TLS is listed", "api.example", 443, "http1"],
    ["TLS where HTTP is listed", "api.example", 80, "tls"],
  ] as const)("%s is refused", async (_name, host, port, protocol) => {
    const decision = await call(host, port, protocol, public1);
    expect(decision).toEqual(refusedFor("egress-undeclared", "api.example"));
    expect(decision).toMatchObject({ detail: expect.stringMatching(/is listed for .*, and this is/) as unknown });
    expect(asked).toEqual([]);
  });

  test("a listed name in front of another address is refused", async () => {
    expect(await call("api.example", 443, "tls", "203.0.113.99")).toEqual(refusedFor("egress-address-mismatch", "api.example"));
  });

  test("a listed host that cannot be found is refused", async () => {
    dns.delete("api.example");
    expect(await call("api.example", 443, "tls", public1)).toEqual(refusedFor("egress-unresolved", "api.example"));
    expect(await call("api.example", 443, "tls")).toEqual(refusedFor("egress-unresolved", "api.example"));
  });

  test("names and addresses are the same in every form", async () => {
    expect(await call("API.Example", 443, "tls", `::ffff:${public1}`)).toEqual(to([public1], "api.example"));
    state = egressState("declared", [external("2001:db8::1", "80/http")]);
    expect(await call("[2001:DB8:0::1]", 80, "http1", "2001:db8:0:0::1")).toEqual(to(["2001:db8::1"], "2001:db8::1"));
  });

  test("a call that names nothing and was not redirected is malformed", async () => {
    expect(await call(undefined, 80, "http1")).toEqual(refusedFor("malformed-target"));
  });

  describe("where DNS lies", () => {
    test.each([metadata, "127.0.0.1", "::1", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"])(
      "a listed host at %s is refused",
      async (address) => {
        dns.set("api.example", [address]);
        expect(await call("api.example", 443, "tls", address)).toEqual(refusedFor("egress-forbidden-address", "api.example"));
        expect(await call("api.example", 443, "tls")).toEqual(refusedFor("egress-forbidden-address", "api.example"));
      },
    );

    test("a proxied call goes to the other addresses", async () => {
      dns.set("api.example", [metadata, public1]);
      expect(await call("api.example", 443, "tls")).toEqual(to([public1], "api.example"));
    });

    test("what was decided is what is connected to, whatever is answered later", async () => {
      const first = await call("api.example", 443, "tls");
      dns.set("api.example", [metadata]);
      expect(first).toEqual(to([public1, public2], "api.example"));
      clock.advance(30_000);
      expect(await call("api.example", 443, "tls")).toEqual(refusedFor("egress-forbidden-address", "api.example"));
    });
  });

  describe("a connection that names no host", () => {
    test("is one to the listed host that is at its address", async () => {
      expect(await call(undefined, 5432, "tcp", public2)).toMatchObject({ allow: true, host: "db.example" });
      expect(await call(undefined, 5432, "tcp", public2)).toEqual(to([public2], "db.example"));
      expect(await call("", 5432, "tls", public2)).toEqual(to([public2], "db.example"));
      expect(await call(undefined, 5432, "tcp", public1)).toEqual(refusedFor("egress-undeclared"));
    });

    test("is refused where no host can be found", async () => {
      dns.delete("db.example");
      expect(await call(undefined, 5432, "tcp", public2)).toEqual(refusedFor("egress-undeclared"));
    });

    test("a wildcard says where it is, or is nowhere", async () => {
      state = egressState("declared", [external("*.db.example", "5432/tcp")]);
      expect(await call(undefined, 5432, "tcp", public2)).toEqual(refusedFor("egress-undeclared"));
      state = egressState("declared", [external("*.db.example", "5432/tcp", { addresses: ["203.0.113.0/24"] })]);
      const decision = await call(undefined, 5432, "tcp", public2);
      expect(decision).toEqual(to([public2], "*.db.example"));
      // Which of its hosts this is nobody knows.
      expect(decision).toMatchObject({ host: public2 });
      expect(asked).toEqual([]);
    });

    test("of several hosts at one address, what refuses one refuses all", async () => {
      dns.set("db2.example", [public2]);
      const listings = [external("db.example db2.example", "5432/tcp")];
      state = egressState("declared", listings, [role("r", [{ Effect: "Deny", Resource: arn("db2.example") }])]);
      expect(await call(undefined, 5432, "tcp", public2)).toEqual(refusedFor("explicit-deny", "db2.example"));
      expect(await call("db.example", 5432, "tls", public2)).toEqual(to([public2], "db.example"));
    });

    test("an address that is listed as a host needs no tcp", async () => {
      state = egressState("declared", [external(public1, "443/tls")]);
      expect(await call("", 443, "tls", public1)).toEqual(to([public1], public1));
      expect(await call(undefined, 443, "tcp", public1)).toEqual(refusedFor("egress-undeclared", public1));
    });
  });

  describe("listed addresses", () => {
    beforeEach(() => {
      state = egressState("declared", [
        external("api.example", "443/tls", { addresses: ["203.0.113.0/24"] }),
        external("static.example", "443/tls", { addresses: [public1, public2] }),
      ]);
    });

    test("are where the host is, whatever DNS says", async () => {
      expect(await call("api.example", 443, "tls", public2)).toEqual(to([public2], "api.example"));
      expect(asked).toEqual([]);
      dns.set("api.example", ["198.51.100.1"]);
      expect(await call("api.example", 443, "tls", "198.51.100.1")).toEqual(refusedFor("egress-address-mismatch", "api.example"));
      expect(await call("api.example", 443, "tls")).toEqual(refusedFor("egress-address-mismatch", "api.example"));
      clock.advance(30_000);
      dns.set("api.example", ["198.51.100.1", public1]);
      expect(await call("api.example", 443, "tls")).toEqual(to([public1], "api.example"));
    });

    test("need no DNS where they are single ones", async () => {
      expect(await call("static.example", 443, "tls")).toEqual(to([public1, public2], "static.example"));
      expect(asked).toEqual([]);
    });
  });
});

describe.each(["declared", "allow"])("metadata, with egress %s", (egress) => {
  test.each([
    ["by address", metadata, metadata],
    ["by address, proxied", metadata, undefined],
    ["by address in another form", "[::ffff:169.254.169.254]", metadata],
    ["behind any name", "innocent.example", metadata],
    ["without a name", undefined, metadata],
    ["by its name, whatever the address", "metadata.google.internal", public1],
    ["by its name, proxied", "metadata.google.internal", undefined],
    ["as a name under a wildcard", "metadata.google.internal", metadata],
  ])("is refused %s", async (_name, host, original) => {
    dns.set("metadata.google.internal", [metadata]);
    dns.set("innocent.example", [metadata]);
    // Nothing of this lists it.
    state = egressState(egress, [
      external("innocent.example", "80/tcp", { addresses: ["0.0.0.0/0"] }),
      external("*.google.internal", "80/http", { addresses: [metadata] }),
      external(public1, "80/http"),
    ]);
    const decision = await call(host, 80, host === undefined ? "tcp" : "http1", original);
    expect(decision).toMatchObject({ allow: false });
    expect(["egress-forbidden-address", "egress-undeclared"]).toContain(decision.allow ? "" : decision.reason);
  });

  test("is allowed where it is listed as what it is", async () => {
    state = egressState(egress, [
      external(metadata, "80/http"),
      external("metadata.google.internal", "80/http", { addresses: [`${metadata}/32`] }),
    ]);
    expect(await call(metadata, 80, "http1", metadata)).toEqual(to([metadata], metadata));
    expect(await call(metadata, 80, "http1")).toEqual(to([metadata], metadata));
    expect(await call("metadata.google.internal", 80, "http1", metadata)).toEqual(to([metadata], "metadata.google.internal"));
    expect(await call("metadata.google.internal", 80, "http1")).toEqual(to([metadata], "metadata.google.internal"));
    expect(await call(metadata, 8080, "http1", metadata)).toMatchObject({ allow: false });
  });
});

describe("allow", () => {
  beforeEach(() => {
    state = egressState("allow", [external("api.example", "443/tls"), external("db.example", "5432/tcp", { addresses: [public2] })]);
  });

  test.each([
    ["TLS", "any.example", 443, "tls", "other"],
    ["HTTP", "any.example", 8080, "http1", "other"],
    ["bytes of any kind", undefined, 9999, "tcp", "other"],
    ["a listed host", "api.example", 443, "tls", "api.example"],
    ["a listed host and what it is not listed for", "api.example", 443, "http1", "other"],
    ["a listed address", undefined, 5432, "tcp", "db.example"],
  ] as const)("%s goes on to where it was going, without a look-up", async (_name, host, port, protocol, label) => {
    expect(await call(host, port, protocol, public2)).toEqual(to([public2], label));
    expect(asked).toEqual([]);
  });

  test("a proxied call is resolved", async () => {
    dns.set("any.example", [public1, "127.0.0.1"]);
    expect(await call("any.example", 80, "http1")).toEqual(to([public1]));
    expect(await call("nowhere.example", 80, "http1")).toEqual(refusedFor("egress-unresolved"));
  });

  test("this machine is no way out", async () => {
    expect(await call("localhost", 80, "http1", "127.0.0.1")).toEqual(refusedFor("egress-forbidden-address"));
    dns.set("localhost", ["127.0.0.1", "::1"]);
    expect(await call("localhost", 80, "http1")).toEqual(refusedFor("egress-forbidden-address"));
  });

  test.each([
    ["its name", arn("any.example")],
    ["its address", arn(public1)],
    ["a network of addresses, as text", arn("203.0.113.*")],
  ])("a Deny of %s counts", async (_name, Resource) => {
    dns.set("any.example", [public1]);
    state = egressState("allow", [], [role("r", [{ Effect: "Deny", Resource }])]);
    expect(await call("any.example", 80, "http1", public1)).toEqual(refusedFor("explicit-deny"));
    expect(await call("any.example", 80, "http1")).toEqual(refusedFor("explicit-deny"));
    expect(await call("any.example", 80, "http1", "198.51.100.1")).toMatchObject({ allow: Resource !== arn("any.example") });
  });

  test("a proxied call goes to the addresses that are not denied", async () => {
    dns.set("any.example", [public1, public2]);
    state = egressState("allow", [], [role("r", [{ Effect: "Deny", Resource: arn(public1) }])]);
    expect(await call("any.example", 80, "http1")).toEqual(to([public2]));
  });
});

describe.each(["declared", "allow"])("policy: required, with egress %s", (egress) => {
  const listing = external("pay.example", "443/tls", { policyRequired: true, addresses: [public1] });

  test("is refused without an Allow, before anything is looked up", async () => {
    state = egressState(
      egress,
      [external("pay.example", "443/tls", { policyRequired: true })],
      [role("r", [{ Effect: "Allow", Resource: arn("api.example") }])],
    );
    expect(await call("pay.example", 443, "tls", public1)).toEqual(refusedFor("no-allow", "pay.example"));
    expect(await call("pay.example", 443, "tls")).toEqual(refusedFor("no-allow", "pay.example"));
    expect(asked).toEqual([]);
  });

  test("is allowed with one, and says which", async () => {
    state = egressState(egress, [listing], [role("r", [{ Effect: "Allow", Resource: arn("pay.example") }])]);
    expect(await call("pay.example", 443, "tls", public1)).toMatchObject({
      allow: true,
      addresses: [public1],
      statement: { policy: "r-policy", index: 0 },
    });
  });
});

test("a policy is required whatever is spoken", async () => {
  state = egressState("allow", [external("pay.example", "443/tls", { policyRequired: true })]);
  expect(await call("pay.example", 443, "http1", public1)).toMatchObject({ allow: false, reason: "no-allow" });
});

describe("recheck of what is open", () => {
  const listings = [external("api.example", "443/tls"), external("db.example", "5432/tcp")];
  let open: EgressAllowed;
  let unnamed: EgressAllowed;
  beforeEach(async () => {
    dns.set("api.example", [public1]);
    dns.set("db.example", [public2]);
    state = egressState("declared", listings);
    open = (await call("api.example", 443, "tls", public1)) as EgressAllowed;
    unnamed = (await call(undefined, 5432, "tcp", public2)) as EgressAllowed;
    asked.length = 0;
  });

  test("what is as it was goes on", () => {
    state = egressState("declared", listings.toReversed());
    expect(decider.recheck(open)).toBe(open);
    expect(decider.recheck(unnamed)).toBe(unnamed);
    expect(asked).toEqual([]);
  });

  test.each([
    ["is not listed any more", () => egressState("declared", []), "egress-undeclared"],
    ["is listed for something else", () => egressState("declared", [external("api.example", "443/http")]), "egress-undeclared"],
    [
      "is said to be elsewhere",
      () => egressState("declared", [external("api.example", "443/tls", { addresses: ["198.51.100.0/24"] })]),
      "egress-address-mismatch",
    ],
    [
      "is denied",
      () => egressState("declared", listings, [role("r", [{ Effect: "Deny", Resource: arn("api.example") }])]),
      "explicit-deny",
    ],
    [
      "is denied by its address",
      () => egressState("allow", [], [role("r", [{ Effect: "Deny", Resource: arn(public1) }])]),
      "explicit-deny",
    ],
    ["asks for a policy now", () => egressState("declared", [external("api.example", "443/tls", { policyRequired: true })]), "no-allow"],
  ])("what %s is refused", (_name, change, reason) => {
    state = change();
    expect(decider.recheck(open)).toMatchObject({ allow: false, reason });
    expect(asked).toEqual([]);
  });

  test("what is open to metadata ends with its listing", async () => {
    state = egressState("allow", [external(metadata, "80/http")]);
    const listed = (await call(metadata, 80, "http1", metadata)) as EgressAllowed;
    state = egressState("allow", []);
    expect(decider.recheck(listed)).toMatchObject({ allow: false, reason: "egress-forbidden-address" });
  });

  test("what is known by its address alone is found by how it is listed", async () => {
    const wildcard = external("*.db.example", "5432/tcp", { addresses: [public2] });
    state = egressState("declared", [wildcard]);
    const byAddress = (await call(undefined, 5432, "tcp", public2)) as EgressAllowed;
    expect(byAddress).toMatchObject({ allow: true, host: public2 });
    state = egressState("declared", [...listings, wildcard]);
    expect(decider.recheck(byAddress)).toBe(byAddress);
    state = egressState("declared", []);
    expect(decider.recheck(byAddress)).toMatchObject({ allow: false, reason: "egress-undeclared" });
  });

  test("a mesh that opens lets everything go on", () => {
    state = egressState("allow", []);
    expect(decider.recheck(open)).toBe(open);
    expect(decider.recheck(unnamed)).toBe(unnamed);
  });
});

test("only the word itself opens a mesh", async () => {
  for (const egress of ["", "ALLOW", "deny", "declared"]) {
    state = egressState(egress, []);
    expect(await call("any.example", 80, "http1", public1)).toEqual(refusedFor("egress-undeclared"));
  }
});

test("decisions are counted by host as it is listed", async () => {
  const registry = new Registry();
  const metrics = createEgressMetrics(registry);
  state = egressState(
    "allow",
    [external("*.cdn.example", "443/tls")],
    [role("r", [{ Effect: "Deny", Resource: arn("a.cdn.example") }], {}, "audit")],
  );
  for (const host of ["a.cdn.example", "b.cdn.example", "x.example", "y.example"]) metrics.decided(await call(host, 443, "tls", public1));
  metrics.decided(await call("x.example", 80, "http1", metadata));
  metrics.lookedUp("found");
  const text = await registry.metrics();
  expect(text).toContain('countersign_egress_decisions_total{host="*.cdn.example",outcome="allowed"} 2');
  expect(text).toContain('countersign_egress_decisions_total{host="other",outcome="allowed"} 2');
  expect(text).toContain('countersign_egress_decisions_total{host="other",outcome="egress-forbidden-address"} 1');
  expect(text).toContain('countersign_egress_would_deny_total{host="*.cdn.example",reason="explicit-deny"} 1');
  expect(text).toContain('countersign_egress_lookups_total{outcome="found"} 1');
});
