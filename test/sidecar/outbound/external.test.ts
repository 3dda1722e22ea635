/** What may happen between the decision about a call out of the mesh and its departure. */
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { Registry } from "prom-client";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { noBody } from "../../../sidecar/body.ts";
import type { Front } from "../../../sidecar/front/front.ts";
import { createOutboundCall, type OutboundCall } from "../../../sidecar/outbound/call.ts";
import type { EgressDecider } from "../../../sidecar/outbound/egress/decide.ts";
import type { EgressAllowed, EgressDecision } from "../../../sidecar/outbound/egress/decision.ts";
import { createEgressMetrics } from "../../../sidecar/outbound/egress/metrics.ts";
import { createExternalCalls } from "../../../sidecar/outbound/external.ts";
import type { OutboundRecords } from "../../../sidecar/outbound/records.ts";

let connections = 0;
const server = createServer((socket) => {
  connections++;
  socket.destroy();
});
beforeAll(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => server.close());
beforeEach(() => {
  connections = 0;
});

const front: Front<OutboundCall> = {
  sendInformational: () => undefined,
  sendHead: () => undefined,
  sendData: () => true,
  end: () => undefined,
  abort: () => undefined,
  resume: () => undefined,
};
const records: OutboundRecords = {
  completed: () => undefined,
  failed: () => undefined,
  cancelled: () => undefined,
  malformed: () => undefined,
  recent: () => [],
};

function newCall(): OutboundCall {
  const head = { method: "GET", target: "/a?secret=1", authority: "host.example", scheme: "http", fields: [], kinds: 0, contentLength: 0 };
  const call = createOutboundCall(front, undefined, head, "http1", "");
  call.bodyEnded = true;
  call.body = { buffer: noBody, length: 0 };
  return call;
}

function allowed(): EgressAllowed {
  const { port } = server.address() as AddressInfo;
  const about = { host: "host.example", port, protocol: "http1", label: "host.example" } as const;
  return { ...about, allow: true, addresses: ["127.0.0.1"], statement: undefined, wouldDeny: undefined };
}
const refused: EgressDecision = { allow: false, reason: "explicit-deny", detail: "denied", label: "host.example", statement: undefined };

/** A call whose decision is in the test's hands. */
function carry(recheck: EgressDecider["recheck"]) {
  const decision = Promise.withResolvers<EgressDecision>();
  const failure = Promise.withResolvers<string>();
  const external = createExternalCalls({
    decider: { decide: () => decision.promise, recheck },
    metrics: createEgressMetrics(new Registry()),
    records,
    monotonic: () => performance.now(),
    fail(call, reason) {
      call.done = true;
      failure.resolve(reason);
    },
  });
  const call = newCall();
  external.carry(call, "host.example", 80);
  return { call, decision, failed: failure.promise, close: () => external.close() };
}

test("a snapshot that comes during a look-up is asked before a byte leaves", async () => {
  const { decision, failed } = carry(() => refused);
  decision.resolve(allowed());
  expect(await failed).toBe("explicit-deny");
  expect(connections).toBe(0);
});

test("what is still allowed departs", async () => {
  const { call, decision, failed } = carry((held) => held);
  decision.resolve(allowed());
  expect(await failed).toBe("upstream-failed");
  expect(connections).toBe(1);
  expect(call.path).toBe("/a");
});

test("whoever has gone meanwhile is not called for", async () => {
  const { call, decision } = carry((held) => held);
  call.done = true;
  decision.resolve(allowed());
  await decision.promise;
  expect(call.departure).toBeUndefined();
  expect(connections).toBe(0);
});

test("a decision that fails refuses", async () => {
  const { decision, failed } = carry((held) => held);
  decision.reject(new Error("of any kind"));
  expect(await failed).toBe("egress-unresolved");
});
