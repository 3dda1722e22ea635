/** The rules put together, as calls meet them: admission, the way to an endpoint, failures, time-outs and the end. */
import { Registry } from "prom-client";
import { beforeEach, describe, expect, test } from "vitest";
import { createDestinationTraffic } from "../../../../sidecar/outbound/traffic/destination-traffic.ts";
import {
  createTrafficManager,
  type CallFacts,
  type ManagedCall,
  type ManagedDestination,
  type TrafficManager,
} from "../../../../sidecar/outbound/traffic/manager.ts";
import { createTrafficMetrics } from "../../../../sidecar/outbound/traffic/metrics.ts";
import { noneTried } from "../../../../sidecar/outbound/traffic/pick.ts";
import { defaultTraffic, type TrafficSettings } from "../../../../sidecar/outbound/traffic/settings.ts";
import { createFakeClock, type FakeClock } from "../../../fakes/clock.ts";
import type { TestEndpoint } from "./candidates.ts";

interface TestCall extends ManagedCall<TestEndpoint>, CallFacts {
  readonly name: string;
  destination: ManagedDestination<TestEndpoint>;
  answered: boolean;
  bodyEnded: boolean;
  bodyLeft: boolean;
}

let clock: FakeClock;
let registry: Registry;
let manager: TrafficManager<TestEndpoint, TestCall>;
let late: string[];
beforeEach(() => {
  clock = createFakeClock();
  registry = new Registry();
  late = [];
  manager = createTrafficManager<TestEndpoint, TestCall>({
    metrics: createTrafficMetrics({ registry, destinations: () => [] }),
    random: Math.random,
    monotonic: clock.now,
    schedule: clock.schedule,
    onTimeout: ({ name }) => late.push(name),
    onIdle: ({ name }) => late.push(`${name} is idle`),
  });
});

function destination(count: number, change: Partial<TrafficSettings> = {}): ManagedDestination<TestEndpoint> {
  const endpoints = Array.from({ length: count }, (_, index) => ({ name: `endpoint${index}`, inFlight: 0, failingUntil: 0 }));
  return { scope: "target.shop", traffic: createDestinationTraffic({ ...defaultTraffic, ...change }, endpoints, undefined) };
}

const unmanaged: ManagedCall<TestEndpoint> = {
  admitted: false,
  held: false,
  pinned: undefined,
  candidate: undefined,
  tried: noneTried,
  retries: 0,
  refusals: 0,
  activeAt: 0,
  timedBefore: undefined,
  timedAfter: undefined,
  deadline: 0,
};

function callTo(to: ManagedDestination<TestEndpoint>, change: Partial<TestCall & { method: string }> = {}): TestCall {
  const { method = "GET", ...rest } = change;
  return { ...unmanaged, name: "call", destination: to, head: { method }, answered: false, bodyEnded: true, bodyLeft: false, ...rest };
}
/** Admitted, and on its way to an endpoint. */
function underWay(to: ManagedDestination<TestEndpoint>, change: Partial<TestCall & { method: string }> = {}): TestCall {
  const call = callTo(to, change);
  expect(manager.admit(call, to, clock.now())).toBe(true);
  expect(manager.route(call, to, clock.now())).toBeDefined();
  return call;
}
const inFlight = ({ traffic }: ManagedDestination<TestEndpoint>) => traffic.candidates.map(({ endpoint }) => endpoint.inFlight);
const counted = async (name: string) => {
  const text = await registry.metrics();
  return text.split("\n").filter((line) => line.startsWith(`countersign_outbound_${name}`));
};

describe("admission", () => {
  test("is up to the limit, and what has ended makes room", () => {
    const to = destination(1, { maxConcurrentRequests: 2 });
    const [first] = [underWay(to), underWay(to)];
    const third = callTo(to);
    expect(manager.admit(third, to, clock.now())).toBe(false);
    // What was not let in does not count when it ends.
    manager.over(third);
    expect(manager.admit(third, to, clock.now())).toBe(false);
    manager.over(first);
    manager.over(first);
    expect(to.traffic.breaker.active).toBe(1);
    expect(manager.admit(third, to, clock.now())).toBe(true);
  });

  test("to wait is up to its own limit; waiting again is waiting once", () => {
    const to = destination(1, { maxPendingRequests: 1 });
    const [first, second] = [underWay(to), underWay(to)];
    expect(manager.hold(first, to)).toBe(true);
    expect(manager.hold(first, to)).toBe(true);
    expect(manager.hold(second, to)).toBe(false);
    manager.unhold(second);
    expect(to.traffic.breaker.pending).toBe(1);
    manager.unhold(first);
    expect(manager.hold(second, to)).toBe(true);
    manager.over(second);
    expect(to.traffic.breaker).toEqual({ active: 1, pending: 0 });
  });
});

describe("the way", () => {
  test("counts at the endpoint until it is over, wherever it leads", () => {
    const to = destination(2);
    const [first, second] = [underWay(to), underWay(to)];
    expect(inFlight(to)).toEqual([1, 1]);
    // Routed anew, as after waiting for a session: it is at one place at a time.
    manager.route(first, to, clock.now());
    expect(inFlight(to).reduce((sum, each) => sum + each)).toBe(2);
    manager.over(first);
    manager.over(second);
    expect(inFlight(to)).toEqual([0, 0]);
  });

  test("of a call that means one instance leads to it and to no other, not even after a failure", () => {
    const to = destination(3);
    const [, meant] = to.traffic.candidates;
    const call = callTo(to, { pinned: meant?.endpoint });
    expect(manager.route(call, to, clock.now())).toBe(meant);
    expect(manager.failed(call, "refused", clock.now())).toBe(true);
    expect(manager.route(call, to, clock.now())).toBe(meant);
    expect(manager.failed(call, "connect", clock.now())).toBe(false);
    manager.over(call);
    expect(inFlight(to)).toEqual([0, 0, 0]);
    // One that is of another destination, or has gone meanwhile.
    const stranger = callTo(to, { pinned: destination(1).traffic.candidates[0]?.endpoint });
    expect(manager.route(stranger, to, clock.now())).toBeUndefined();
  });

  test("of a destination without endpoints leads nowhere", () => {
    expect(manager.route(callTo(destination(0)), destination(0), clock.now())).toBeUndefined();
  });
});

describe("a failed try", () => {
  test("is followed by others at other endpoints, as many as the settings say", async () => {
    const to = destination(5, { retries: { attempts: 2, budgetPercent: 20 } });
    const call = underWay(to);
    const seen = new Set([call.candidate]);
    for (let retry = 0; retry < 2; retry++) {
      expect(manager.failed(call, "lost", clock.now())).toBe(true);
      expect(call.candidate).toBeUndefined();
      seen.add(manager.route(call, to, clock.now()));
    }
    expect(seen.size).toBe(3);
    expect(manager.failed(call, "lost", clock.now())).toBe(false);
    // It stays where it failed last, for whoever records it.
    expect(call.candidate).toBeDefined();
    manager.over(call);
    expect(inFlight(to)).toEqual([0, 0, 0, 0, 0]);
    expect(await counted("retries_total")).toEqual(['countersign_outbound_retries_total{destination="target.shop"} 2']);
    expect(await counted("failed_tries")).toEqual(['countersign_outbound_failed_tries_total{destination="target.shop",failure="lost"} 3']);
  });

  test("is the last where there is no other endpoint", () => {
    const to = destination(2);
    const call = underWay(to);
    expect(manager.failed(call, "connect", clock.now())).toBe(true);
    expect(manager.route(call, to, clock.now())).toBeDefined();
    expect(manager.failed(call, "connect", clock.now())).toBe(false);
    const alone = underWay(destination(1));
    expect(manager.failed(alone, "lost", clock.now())).toBe(false);
  });

  test.each([
    ["of a POST that may have been carried out", { method: "POST" }, "lost", false],
    ["of a POST that reached nobody", { method: "POST" }, "connect", true],
    ["of a PUT whose body has left", { method: "PUT", bodyLeft: true }, "lost", false],
    ["of a GET with an answer under way", { answered: true }, "lost", false],
    ["of a GET that a sidecar refused", {}, "rejected", true],
    ["of a POST that a sidecar refused", { method: "POST" }, "rejected", true],
    ["of a POST that a sidecar refused when some of it had left", { method: "POST", bodyLeft: true }, "rejected", false],
    ["of a GET whose time is over", {}, "timeout", false],
  ] as const)("%s", (_, change, failure, again) => {
    expect(manager.failed(underWay(destination(3), change), failure, clock.now())).toBe(again);
  });

  test("is not repeated over the budget", async () => {
    const to = destination(3, { retries: { attempts: 2, budgetPercent: 0 } });
    let retried = 0;
    for (let index = 0; index < 150; index++) {
      const call = underWay(to);
      if (manager.failed(call, "rejected", clock.now())) retried++;
      manager.over(call);
    }
    expect(retried).toBe(100);
    expect(await counted("retries_overflow")).toEqual(['countersign_outbound_retries_overflow_total{destination="target.shop"} 50']);
    clock.advance(20_000);
    expect(manager.failed(underWay(to), "rejected", clock.now())).toBe(true);
  });

  test("that the peer gave back is none: it goes again without a budget, to the same endpoint for want of another, three times", async () => {
    const to = destination(1, { retries: { attempts: 0, budgetPercent: 0 }, maxConcurrentRequests: 0 });
    const call = underWay(to, { method: "POST" });
    for (let refusal = 0; refusal < 3; refusal++) {
      expect(manager.failed(call, "refused", clock.now())).toBe(true);
      expect(manager.route(call, to, clock.now())?.endpoint.name).toBe("endpoint0");
    }
    expect(manager.failed(call, "refused", clock.now())).toBe(false);
    expect(to.traffic.candidates[0]?.failures).toBe(0);
    expect(await counted("retries_total")).toEqual([]);
  });

  test("that was given back by one goes to another first", () => {
    const to = destination(2);
    const call = underWay(to);
    const first = call.candidate;
    manager.failed(call, "refused", clock.now());
    expect(manager.route(call, to, clock.now())).not.toBe(first);
  });

  test("never goes back to where it failed, after a refusal elsewhere either", () => {
    const to = destination(2);
    const call = underWay(to);
    expect(manager.failed(call, "lost", clock.now())).toBe(true);
    manager.route(call, to, clock.now());
    manager.failed(call, "refused", clock.now());
    expect(manager.route(call, to, clock.now())).toBeUndefined();
  });
});

describe("an endpoint", () => {
  const settings = { outlierDetection: { consecutiveFailures: 3, baseEjectionSeconds: 10, maxEjectionPercent: 50 } };

  test("is ejected by failures in a row, and gets nothing until its trial", async () => {
    const to = destination(2, settings);
    const [bad, good] = to.traffic.candidates;
    for (let failed = 0; failed < 3;) {
      const call = underWay(to);
      if (call.candidate === bad) {
        failed++;
        manager.failed(call, "rejected", clock.now());
      } else manager.answered(call, true, clock.now());
      manager.over(call);
    }
    for (let index = 0; index < 20; index++) {
      const call = underWay(to);
      expect(call.candidate).toBe(good);
    }
    expect(await counted("ejections_total")).toEqual(['countersign_outbound_ejections_total{destination="target.shop"} 1']);
    clock.advance(10_000);
    // It has nothing to do, and so is the less busy one: its trial. While that lasts nothing else comes.
    const trial = underWay(to);
    expect(trial.candidate).toBe(bad);
    expect(underWay(to).candidate).toBe(good);
    manager.answered(trial, true, clock.now());
    expect(underWay(to).candidate).toBe(bad);
  });

  test("whose connection is lost has failed once, however many calls were on it", () => {
    const to = destination(2, settings);
    const channel = {};
    const calls = Array.from({ length: 20 }, () => underWay(to, { method: "POST" }));
    for (const call of calls) manager.failed(call, "lost", clock.now(), channel);
    expect(to.traffic.candidates.map(({ failures, state }) => [failures, state])).toEqual([
      [1, "in"],
      [1, "in"],
    ]);
    manager.failed(underWay(to, { method: "POST" }), "lost", clock.now(), {});
    expect(to.traffic.candidates.some(({ failures }) => failures === 2)).toBe(true);
  });

  test("that refuses is not well, though it answers", () => {
    const to = destination(2, settings);
    const call = underWay(to, { method: "POST", bodyLeft: true });
    const { candidate } = call;
    expect(manager.failed(call, "rejected", clock.now())).toBe(false);
    manager.answered(call, false, clock.now());
    expect(candidate?.failures).toBe(1);
  });
});

describe("the time-out", () => {
  test("runs until the head of the answer, over retries", () => {
    const to = destination(3, { requestTimeoutMs: 1000 });
    const hangs = underWay(to, { name: "hangs" });
    const answers = underWay(to, { name: "answers" });
    for (const call of [hangs, answers]) manager.expectAnswer(call, to, clock.now());
    clock.advance(600);
    manager.failed(hangs, "lost", clock.now());
    manager.route(hangs, to, clock.now());
    answers.answered = true;
    manager.answered(answers, true, clock.now());
    clock.advance(399);
    expect(late).toEqual([]);
    clock.advance(1);
    expect(late).toEqual(["hangs"]);
    clock.advance(10_000);
    expect(late).toEqual(["hangs"]);
  });

  test("of 0 never comes, and that of a call which is over neither", () => {
    manager.expectAnswer(underWay(destination(1)), destination(1), clock.now());
    const to = destination(1, { requestTimeoutMs: 1000 });
    const left = underWay(to);
    manager.expectAnswer(left, to, clock.now());
    manager.over(left);
    clock.advance(10_000);
    expect(late).toEqual([]);
    expect(clock.pendingTimers()).toBe(0);
  });
});

describe("the idle time-out", () => {
  /** A call whose answer has begun. */
  function answering(name: string): TestCall {
    const to = destination(1, { idleTimeoutMs: 1000 });
    const call = underWay(to, { name });
    call.answered = true;
    manager.answered(call, true, clock.now());
    return call;
  }

  test("comes when nothing passes any more", () => {
    answering("silent");
    clock.advance(999);
    expect(late).toEqual([]);
    clock.advance(1);
    expect(late).toEqual(["silent is idle"]);
  });

  test("does not while something does, and comes before twice its time is over", () => {
    const call = answering("slow");
    const silent = answering("silent");
    for (let chunk = 0; chunk < 50; chunk++) {
      clock.advance(300);
      manager.progressed(call);
    }
    expect(late).toEqual(["silent is idle"]);
    manager.over(silent);
    clock.advance(1999);
    expect(late).toEqual(["silent is idle", "slow is idle"]);
  });

  test("is over with the call", () => {
    manager.over(answering("done"));
    clock.advance(10_000);
    expect(late).toEqual([]);
    expect(clock.pendingTimers()).toBe(0);
  });
});
