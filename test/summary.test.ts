import { expect, test } from "vitest";
import { addSummaries, summaryFromReport } from "./summary.ts";

const file = (name: string, status: string, ...statuses: readonly string[]) => ({
  name,
  status,
  assertionResults: statuses.map((each, index) => ({ fullName: `test ${index}`, status: each })),
});

const summary = (success: boolean, ...testResults: readonly unknown[]) => summaryFromReport(JSON.stringify({ success, testResults }));

test("tests are counted by what became of them", () => {
  const read = summary(false, file("/a", "passed", "passed", "passed"), file("/b", "failed", "passed", "failed", "failed"));
  expect(read).toEqual({ passed: 3, failed: 2, skipped: [], success: false });
});

test.each(["skipped", "pending", "todo", "disabled"])("%s is not run", (status) => {
  expect(summary(true, file("/a", "passed", status, "passed"))).toEqual({
    passed: 1,
    failed: 0,
    skipped: [{ file: "/a", name: "test 0" }],
    success: true,
  });
});

test("a file that could not be run is a failure", () => {
  expect(summary(false, file("/a", "failed")).failed).toBe(1);
});

test("what is no report is refused", () => {
  expect(() => summaryFromReport("{}")).toThrow("testResults");
});

test("several runs are one, which succeeds where each ran something and succeeded", () => {
  const good = summary(true, file("/a", "passed", "passed", "skipped"));
  const bad = summary(false, file("/b", "failed", "passed", "failed"));
  const skipped = [{ file: "/a", name: "test 1" }];
  expect(addSummaries([good, good])).toEqual({ passed: 2, failed: 0, skipped: [...skipped, ...skipped], success: true });
  expect(addSummaries([good, bad])).toEqual({ passed: 2, failed: 1, skipped, success: false });
  expect(addSummaries([good, summary(true)]).success).toBe(false);
  expect(addSummaries([]).success).toBe(false);
});
