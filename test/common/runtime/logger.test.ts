import { expect, test } from "vitest";
import { createLogging } from "../../../common/runtime/logger.ts";

function capture(level: "info" | "debug" = "info") {
  const lines: string[] = [];
  const logging = createLogging({ name: "test", level, destination: { write: (line: string) => void lines.push(line) } });
  return { lines, ...logging };
}

test("secrets are censored at the depths that are logged", () => {
  const { lines, logger } = capture();
  logger.info({ token: "s3cret", request: { sessionToken: "s3cret", inner: { secretAccessKey: "s3cret" } }, reason: "kept" }, "x");
  expect(lines.join("")).not.toContain("s3cret");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ name: "test", token: "[secret]", reason: "kept", msg: "x" });
});

test("a changed level holds for children made before", () => {
  const { lines, logger, setLevel, level } = capture();
  const grandchild = logger.child({ part: "a" }).child({ part: "b" });
  grandchild.debug("no");
  setLevel("debug");
  grandchild.debug("yes");
  logger.child({}).debug("yes");
  expect(level()).toBe("debug");
  expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(["yes", "yes"]);
});

test("text from the wire cannot forge a line", () => {
  const { lines, logger } = capture();
  logger.info({ path: '/a\n{"level":50}\u2028' }, "m\r\n");
  expect(lines).toHaveLength(1);
  expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
});
