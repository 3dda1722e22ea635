import { expect, test } from "vitest";
import { checkScopeDate } from "../../../control-plane/sts/resolve-session.ts";
import { stateFromYaml } from "../mesh-state.ts";

const state = stateFromYaml("");
const accepts = (date: string, now: number, age = 0) => {
  try {
    checkScopeDate(date, { issuedAtSeconds: now / 1000 - age }, state, now);
    return true;
  } catch {
    return false;
  }
};

test.each([
  ["at noon", Date.UTC(2026, 5, 15, 12), ["20260615"]],
  ["four minutes before midnight", Date.UTC(2026, 5, 15, 23, 56), ["20260615", "20260616"]],
  ["six minutes before midnight", Date.UTC(2026, 5, 15, 23, 54), ["20260615"]],
  ["four minutes after midnight", Date.UTC(2026, 0, 1, 0, 4), ["20251231", "20260101"]],
  ["six minutes after midnight", Date.UTC(2026, 0, 1, 0, 6), ["20260101"]],
])("the scope's date is a day that a clock within the skew calls today: %s", (_name, now, days) => {
  const candidates = [
    "20251230",
    "20251231",
    "20260101",
    "20260102",
    "20260614",
    "20260615",
    "20260616",
    "20260617",
    "",
    "2026-06-15",
    "20260615\n",
  ];
  expect(candidates.filter((date) => accepts(date, now))).toEqual(days);
});

test("it may be of any day that the session has lived on, for what was signed to be used later", () => {
  const past = Date.UTC(2026, 5, 16, 8);
  expect(accepts("20260615", past, 7 * 3600)).toBe(false);
  expect(accepts("20260615", past, 8 * 3600)).toBe(true);
  expect(accepts("20260615", past, 12 * 3600)).toBe(true);
  expect(accepts("20260614", past, 12 * 3600)).toBe(false);
  expect(accepts("20260617", past, 12 * 3600)).toBe(false);
});
