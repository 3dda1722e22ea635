import { array, assert, integer, nat, property, tuple } from "fast-check";
import { describe, expect, test } from "vitest";
import { commentOf, markOf, problemsOf } from "../../../cli/intercept/installed.ts";
import { planOf } from "../../../cli/intercept/options.ts";
import { mergePorts, portsToString, rulesOf, type PortRange } from "../../../cli/intercept/plan.ts";
import { runHere } from "../../../cli/intercept/programs.ts";

const range = tuple(integer({ min: 1, max: 200 }), nat(20)).map(([first, length]): PortRange => ({ first, last: first + length }));
const within = (ranges: readonly PortRange[], port: number) => ranges.some(({ first, last }) => first <= port && port <= last);

test("merged ports are the same ports, in order and apart", () => {
  assert(
    property(array(range), (ranges) => {
      const merged = mergePorts(ranges);
      for (let port = 0; port <= 230; port++) expect(within(merged, port)).toBe(within(ranges, port));
      for (const [index, { first }] of merged.entries()) expect(first).toBeGreaterThan((merged[index - 1]?.last ?? -1) + 1);
    }),
  );
});

test("ports as backends write them", () => {
  const ports = [
    { first: 22, last: 22 },
    { first: 8000, last: 8010 },
  ];
  expect(portsToString(ports, "-")).toEqual(["22", "8000-8010"]);
  expect(portsToString(ports, ":")).toEqual(["22", "8000:8010"]);
});

describe("the id of rules", () => {
  const idOf = (options: Parameters<typeof planOf>[0]) => rulesOf(planOf(options)).id;

  test("is the same for the same rules, however they are written", () => {
    expect(idOf({ skipInboundPorts: "80, 22,81" })).toBe(idOf({ skipInboundPorts: "22,80-81" }));
    expect(idOf({ proxyUid: "1337", mode: "redirect" })).toBe(idOf({}));
  });

  test("is another for every option", () => {
    const options = [
      {},
      { mode: "tproxy" },
      { proxyUid: "1" },
      { proxyGid: "1" },
      { outboundPort: "1" },
      { inboundPort: "1" },
      { adminPorts: "1" },
      { skipOutboundPorts: "1" },
      { skipInboundPorts: "1" },
      { skipOutboundCidrs: "10.0.0.0/8" },
      { includeOutboundCidrs: "10.0.0.0/8" },
    ];
    expect(new Set(options.map(idOf)).size).toBe(options.length);
  });
});

describe("rules are known again by their comments", () => {
  const id = "0123456789ab";
  const comments = [1, 2, 3].map((number) => commentOf(id, number, 3));

  test("a comment is read as it was written", () => {
    expect(markOf(comments[1])).toEqual({ id, number: 2, total: 3 });
    for (const other of [undefined, "", "countersign", "countersign 0123 1/2", "theirs"]) expect(markOf(other)).toBeUndefined();
  });

  test.each<[string, (string | undefined)[], string[]]>([
    ["all there", comments, []],
    ["one missing", [comments[0], comments[2]], ["x lacks 1 of 3 rules (2)"]],
    ["one too many", [...comments, undefined], ["x has a rule that is not of countersign"]],
    ["one twice", [...comments, comments[0]], ["x has rules twice"]],
    ["another order", [comments[1], comments[0], comments[2]], ["x has rules out of order"]],
    ["none", [], ["x has no rules"]],
    ["of two installations", [comments[0], commentOf("ba9876543210", 2, 3), comments[2]], ["x has rules of several installations"]],
  ])("%s", (_, found, problems) => {
    expect(problemsOf(found, "x").problems).toEqual(problems);
  });
});

test("a program that is not there is named, with what to install", async () => {
  await expect(runHere(["iptables-of-another-kind"])).rejects.toMatchObject({
    code: "no-program",
    message: "there is no iptables-of-another-kind in the PATH: apt-get install iptables",
  });
  await expect(runHere(["no-such-program"])).rejects.toMatchObject({ message: "there is no no-such-program in the PATH" });
});
