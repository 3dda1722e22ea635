import { describe, expect, test } from "vitest";
import { codeOf } from "../code-of.ts";
import { durationsFrom, parseH2load } from "./h2load.ts";

const report = `finished in 2.00s, 40390.50 req/s, 8.86MB/s
requests: 80781 total, 80813 started, 80781 done, 80781 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 80782 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 17.72MB (18580045) total, 8.47MB (8886020) headers (space savings 39.56%), 5.24MB (5493108) data
`;

describe("the report of h2load", () => {
  test("gives requests and rate", () => {
    expect(parseH2load(report)).toEqual({ requests: 80781, perSecond: 40390.5 });
  });

  test.each([
    report.replace("80781 succeeded, 0 failed", "80780 succeeded, 1 failed"),
    report.replace("80781 succeeded, 0 failed, 0 errored", "80780 succeeded, 0 failed, 1 errored"),
    report.replace("80781 done, 80781 succeeded", "0 done, 0 succeeded"),
  ])("with a failure, or without an answer, is refused", (text) => {
    expect(codeOf(() => parseH2load(text))).toBe("bad-response");
  });

  test("cut anywhere in its counts is refused", () => {
    const end = report.indexOf("status codes") - 1;
    const codes = Array.from({ length: end }, (_, index) => codeOf(() => parseH2load(report.slice(0, index))));
    expect(new Set(codes)).toEqual(new Set(["bad-output"]));
  });

  test("the log gives every duration, in order of length", () => {
    expect([...durationsFrom("1795475350043843\t200\t1102\n1795475350043845\t200\t99\n")]).toEqual([99, 1102]);
    expect(codeOf(() => durationsFrom(""))).toBe("bad-output");
    expect(codeOf(() => durationsFrom("1795475350043843\t200\t1102\n17954753500"))).toBe("bad-output");
  });
});
