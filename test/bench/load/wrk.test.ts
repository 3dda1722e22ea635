import { describe, expect, test } from "vitest";
import { codeOf } from "../code-of.ts";
import { parseWrk } from "./wrk.ts";

// wrk pads seconds with a blank.
const wrkReport = `Running 4s test @ http://127.0.0.1:39641/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms    2.01ms  41.87ms   94.61%
    Req/Sec    41.63k     5.24k   52.11k    70.00%
  Latency Distribution
     50%  612.00us
     75%    1.10ms
     90%    2.30ms
     99%    1.02s 
  165742 requests in 4.00s, 31.45MB read
Requests/sec:  41419.94
Transfer/sec:      7.86MB
`;

describe("the report of wrk", () => {
  test("gives requests, rate, percentiles in microseconds and what was read in bytes, whatever their unit", () => {
    const readBytes = 31.45 * 2 ** 20;
    expect(parseWrk(wrkReport)).toEqual({ requests: 165742, perSecond: 41419.94, p50Micros: 612, p99Micros: 1_020_000, readBytes });
    expect(parseWrk(wrkReport.replace("31.45MB", "2.30GB")).readBytes).toBe(2.3 * 2 ** 30);
  });

  test.each(["  Socket errors: connect 0, read 3, write 0, timeout 0", "  Non-2xx or 3xx responses: 12"])(
    "with a failure is refused: %s",
    (line) => {
      const report = wrkReport.replace("Requests/sec:", `${line}\nRequests/sec:`);
      expect(() => parseWrk(report)).toThrow(line.trim());
      expect(codeOf(() => parseWrk(report))).toBe("bad-response");
    },
  );

  test("without a response is refused", () => {
    expect(codeOf(() => parseWrk(wrkReport.replace("165742", "0")))).toBe("bad-response");
  });

  test("cut anywhere before its rate is refused", () => {
    const end = wrkReport.indexOf("Requests/sec");
    const codes = Array.from({ length: end }, (_, index) => codeOf(() => parseWrk(wrkReport.slice(0, index))));
    expect(new Set(codes)).toEqual(new Set(["bad-output"]));
  });
});
