import { describe, expect, test } from "vitest";
import { parseResidentBytes, parseStat } from "./cpu.ts";
import { BenchError } from "./errors.ts";
import { optionsFrom } from "./options.ts";
import { comparisonRows, formatColumns, formatTable, median, type Measurement } from "./report.ts";
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

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof BenchError) return error.code;
    throw error;
  }
  return "none";
}

describe("the report of wrk", () => {
  test("gives requests, rate and percentiles in microseconds, whatever their unit", () => {
    expect(parseWrk(wrkReport)).toEqual({ requests: 165742, perSecond: 41419.94, p50Micros: 612, p99Micros: 1_020_000 });
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

describe("/proc", () => {
  test("a command that looks like fields shifts nothing", () => {
    const stat = "4711 (a) R 1 (b) S 17 4711 4711 0 -1 4194560 900 0 3 0 250 31 7 2 20 0 11 0 88 1000 200";
    expect(parseStat(stat)).toEqual({ parent: 17, ticks: 290 });
  });

  test("anything else than a stat line is refused", () => {
    expect(codeOf(() => parseStat("4711 (node) S 17"))).toBe("bad-output");
    expect(codeOf(() => parseStat(""))).toBe("bad-output");
  });

  test("resident memory is in bytes", () => {
    expect(parseResidentBytes("Name:\tnode\nVmHWM:\t   90000 kB\nVmRSS:\t   61440 kB\nThreads:\t11\n")).toBe(61440 * 1024);
    expect(codeOf(() => parseResidentBytes("Name:\tkthreadd\n"))).toBe("bad-output");
  });
});

function run(peer: Measurement["peer"], round: number, cpuMicros: number, p50Micros = 100, p99Micros = 1000): Measurement {
  return { peer, connections: 32, round, cpuMicros, perSecond: 1e6 / cpuMicros, p50Micros, p99Micros };
}

describe("the report", () => {
  test("medians of an odd and an even count, and of nothing", () => {
    expect(median([9, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 100])).toBe(3);
    expect(median([])).toBeNaN();
  });

  test("ratios are of two runs of one round: a machine that slows down between rounds changes none", () => {
    const runs = [1, 10, 3].flatMap((slowness, round) => [
      run("nginx", round, 40 * slowness, 100 * slowness),
      run("countersign", round, 30 * slowness, 120 * slowness),
    ]);
    expect(comparisonRows(runs)).toEqual([
      {
        work: "http1-63B",
        connections: 32,
        peer: "nginx",
        cpuMicros: 90,
        peerCpuMicros: 120,
        cpuRatio: 0.75,
        p50Ratio: 1.2,
        p99Ratio: 1,
      },
    ]);
  });

  test("has no row for the application alone, nor without our own figures", () => {
    expect(comparisonRows([run("direct", 1, 0), run("countersign", 1, 30)])).toEqual([]);
    expect(comparisonRows([run("nginx", 1, 40), run("haproxy-h2", 1, 20)])).toEqual([]);
  });

  test("shows what failed as failed and what is no figure as a dash", () => {
    const runs = [run("direct", 1, 0), run("nginx", 1, 40), run("haproxy-h2", 1, 20, 50)];
    const table = formatTable(["direct", "nginx", "haproxy-h2", "countersign"], [32], runs, new Map([["countersign/32", "status 503"]]));
    const cells = table
      .trimEnd()
      .split("\n")
      .slice(1)
      .map((line) => line.split(/ {2,}/));
    expect(cells.map((line) => line.slice(1, 4))).toEqual([
      ["direct", "-", "-"],
      ["nginx", "40.0", "1.00"],
      ["haproxy-h2", "20.0", "0.50"],
      ["countersign", "FAILED"],
    ]);
    expect(cells[2]?.slice(5)).toEqual(["50", "0.50", "1000", "1.00"]);
  });

  test("columns line up, names to the left and figures to the right", () => {
    const lines = formatColumns(1, [
      ["a", "100"],
      ["long", "5"],
    ]);
    expect(lines).toBe("a     100\nlong    5\n");
  });
});

describe("options", () => {
  test("--quick is nginx and ours at 32 connections, and leaves the rest to be chosen", () => {
    expect(optionsFrom(["--quick", "--rounds", "5"])).toEqual({
      peers: ["nginx", "countersign"],
      connections: [32],
      rounds: 5,
      seconds: 4,
      json: undefined,
      profile: undefined,
    });
  });

  test.each([
    [["--connections", "1,x"], '--connections: expected a whole number from 1 to 1024, got "x"'],
    [["--rounds", "0"], '--rounds: expected a whole number from 1 to 100, got "0"'],
    [["--peers", "ngin"], '--peers: no peer "ngin"; there are direct, nginx, haproxy-h1, haproxy-h2, countersign'],
    [["--peers", "nginx", "--json", "x.json"], "--json is about countersign, which --peers leaves out"],
    [["--frobnicate"], "Unknown option '--frobnicate'"],
  ])("%j is refused in one line", (args, message) => {
    expect(() => optionsFrom(args)).toThrow(message);
    expect(codeOf(() => optionsFrom(args))).toBe("bad-option");
  });
});
