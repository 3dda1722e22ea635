import { describe, expect, test } from "vitest";
import { createGateHistory, type GateHistory } from "./gate-history.ts";
import { judgeByRevision, judgeByTime, type GateCall, type GateDecision } from "./gate-judge.ts";

/** Open until 10; denied with revision 5, asked for at 10 and everywhere at 20; open again with revision 7, asked for at 30 and everywhere at 40. */
function history(): GateHistory {
  const made = createGateHistory();
  made.requested("denied", 10);
  made.stored(5);
  made.confirmed(20);
  made.requested("open", 30);
  made.stored(7);
  made.confirmed(40);
  return made;
}

const allowed = { status: 200, reason: "" };
const denied = { status: 403, reason: "explicit-deny" };
const callAt = (from: number, to: number, answer: Pick<GateCall, "status" | "reason">): GateCall => ({
  path: "/pass/1",
  from,
  to,
  ...answer,
});

describe("the history of the gate", () => {
  test.each([
    [0, 9, ["open"]],
    [0, 10, ["open", "denied"]],
    [15, 16, ["open", "denied"]],
    [20, 29, ["denied"]],
    [19, 31, ["open", "denied"]],
    [29, 31, ["denied", "open"]],
    [40, 50, ["open"]],
  ])("a call from %i to %i may have met %j", (from, to, states) => {
    expect(history().during(from, to)).toEqual(new Set(states));
  });

  test("a revision has the state of the last change before it", () => {
    expect([0, 4, 5, 6, 7, 99].map((revision) => history().at(revision))).toEqual(["open", "open", "denied", "denied", "open", "open"]);
    expect([0, 19, 20, 39, 40].map((moment) => history().surelyAt(moment))).toEqual([0, 0, 5, 5, 7]);
  });

  test("while a change is stored whose revision is not known, no later revision is known to have a state", () => {
    const made = history();
    made.requested("not-allowed", 50);
    expect(made.at(7)).toBe("open");
    expect(made.at(8)).toBeUndefined();
    made.stored(9);
    expect([made.at(8), made.at(9)]).toEqual(["open", "not-allowed"]);
  });
});

describe("by the times of a call", () => {
  test("an answer is right where the gate may have been so", () => {
    for (const call of [callAt(0, 5, allowed), callAt(12, 13, denied), callAt(21, 25, denied), callAt(45, 46, allowed)]) {
      expect(judgeByTime(call, history())).toBeUndefined();
    }
  });

  test.each([
    [callAt(0, 5, denied), "/pass/1: 403 explicit-deny where the gate was open"],
    [callAt(21, 25, allowed), "/pass/1: 200  where the gate was denied"],
    [callAt(21, 25, { status: 403, reason: "no-allow" }), "/pass/1: 403 no-allow where the gate was denied"],
    [callAt(0, 5, { status: 401, reason: "bad-signature" }), "/pass/1: 401 bad-signature where the gate was open"],
  ])("and otherwise wrong: %j", (call, problem) => {
    expect(judgeByTime(call, history())).toBe(problem);
  });
});

describe("by the revision of a decision", () => {
  const deny = (policyRevision: number, reason = "explicit-deny"): GateDecision => ({
    path: "/pass/1",
    decision: "deny",
    reason,
    policyRevision,
  });
  const allow = (policyRevision: number): GateDecision => ({
    path: "/pass/1",
    decision: "allow",
    reason: "identity-policy",
    policyRevision,
  });

  test("a denial is right where that revision denies", () => {
    expect(judgeByRevision(callAt(15, 16, denied), deny(5), history())).toBeUndefined();
    expect(judgeByRevision(callAt(35, 36, denied), deny(6), history())).toBeUndefined();
  });

  test("an allow is right where that revision allows, or one before it that was in force when the call began", () => {
    expect(judgeByRevision(callAt(9, 11, allowed), allow(5), history())).toBeUndefined();
    expect(judgeByRevision(callAt(35, 36, allowed), allow(7), history())).toBeUndefined();
  });

  test.each([
    ["by a revision older than all had", callAt(25, 26, denied), deny(4), "decided deny explicit-deny by revision 4, when all had 5"],
    ["a denial that the revision does not make", callAt(35, 36, denied), deny(7), "by which the gate was open"],
    ["an allow that none makes", callAt(25, 26, allowed), allow(6), "by which the gate was denied"],
    ["not what was answered", callAt(15, 16, allowed), deny(5), "and answered 200"],
    ["for another reason", callAt(15, 16, { status: 403, reason: "no-allow" }), deny(5, "no-allow"), "by which the gate was denied"],
  ])("%s is wrong", (_name, call, decision, problem) => {
    expect(judgeByRevision(call, decision, history())).toContain(problem);
  });
});
