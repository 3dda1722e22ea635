/** The one-minute form of `npm run soak`: everything happens at least once, and not one call is lost or wrongly decided. */
import { expect, test } from "vitest";
import { kinds } from "./options.ts";
import { formatFindings } from "./report.ts";
import { runSoak } from "./soak.ts";

test("a minute of mixed load with renewals, policy flips and restarts loses nothing", async ({ signal }) => {
  const findings = await runSoak({ seconds: 60, kinds }, () => undefined, signal);
  // The whole of it, so that a failure says what happened.
  expect(formatFindings(findings)).toMatch(/\nPASSED\n$/);
}, 180_000);
