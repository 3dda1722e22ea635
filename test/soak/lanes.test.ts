/** Every kind of load against the application alone: what it then finds wrong is not the sidecars' fault. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startApplication, type SoakApplication } from "./application.ts";
import { createGateHistory } from "./gate-history.ts";
import { createGate } from "./lanes/gate.ts";
import { grpc } from "./lanes/grpc.ts";
import { large, post, small } from "./lanes/http.ts";
import { nextNumber, type Lane } from "./lanes/lane.ts";
import { websocket } from "./lanes/websocket.ts";
import { kinds, type Kind } from "./options.ts";
import { createTally, type Tally } from "./tally.ts";

let application: SoakApplication;
beforeAll(async () => {
  application = await startApplication();
});
afterAll(async () => {
  await application[Symbol.asyncDispose]();
});

/** Until so many calls are over, whatever they came to. */
async function run(lane: Lane, calls: number, outbound: string): Promise<Tally> {
  const enough = new AbortController();
  const tally = createTally(kinds, () => 0);
  let over = 0;
  const counting: Tally = {
    ...tally,
    right: (kind) => {
      tally.right(kind);
      ended();
    },
    lost: (kind, what) => {
      tally.lost(kind, what);
      ended();
    },
    wrong: (kind, what) => {
      tally.wrong(kind, what);
      ended();
    },
  };
  const ended = () => {
    if (++over >= calls) enough.abort();
  };
  await lane({ outbound, tally: counting }, enough.signal);
  return tally;
}

const http = () => `127.0.0.1:${application.httpPort}`;
const gate = () => createGate(createGateHistory(), () => performance.now());

describe("against the application alone everything is right", () => {
  test.each<[Kind, Lane, number]>([
    ["small", small, 20],
    ["post", post, 20],
    ["large", large, 4],
    ["websocket", websocket, 1],
    ["gate", (context, stop) => gate().lane(context, stop), 5],
  ])("%s", async (kind, lane, calls) => {
    const tally = await run(lane, calls, http());
    expect(tally.problems()).toEqual([]);
    expect(tally.counts().get(kind)).toEqual({ begun: calls, right: calls, lost: 0, wrong: 0 });
  });

  test("grpc", async () => {
    const tally = await run(grpc, 2, `127.0.0.1:${application.grpcPort}`);
    expect(tally.problems()).toEqual([]);
    expect(tally.counts().get("grpc")).toEqual({ begun: 2, right: 2, lost: 0, wrong: 0 });
  });
});

test("where nobody listens every call is lost", async () => {
  const nobody = await startApplication();
  await nobody[Symbol.asyncDispose]();
  for (const [kind, lane] of [
    ["small", small],
    ["post", post],
    ["large", large],
    ["websocket", websocket],
  ] as const) {
    const tally = await run(lane, 2, `127.0.0.1:${nobody.httpPort}`);
    expect(tally.counts().get(kind)).toEqual({ begun: 2, right: 0, lost: 2, wrong: 0 });
  }
});

test("the gate compares an answer with its decision once", async () => {
  const subject = gate();
  await run(subject.lane, 1, http());
  const paths = Array.from({ length: nextNumber() }, (_, number) => `/pass/${number}`);
  const decisions = paths.map((path) => ({ path, decision: "deny", reason: "explicit-deny", policyRevision: 3 }) as const);
  const found = subject.check([...decisions, ...decisions]);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(/^\/pass\/\d+: decided deny explicit-deny by revision 3, and answered 200 $/);
  expect(subject.checked()).toBe(1);
});
