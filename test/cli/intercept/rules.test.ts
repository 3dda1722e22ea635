/** What the rules send where, in namespaces of their own: both backends, both modes, IPv4 and IPv6, every connection a real one. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installRules } from "../../../cli/intercept/apply-rules.ts";
import { planOf, type RuleOptions } from "../../../cli/intercept/options.ts";
import { rulesOf } from "../../../cli/intercept/plan.ts";
import { runIn } from "../../../cli/intercept/programs.ts";
import { createNetwork, withoutNamespaces, type Credentials, type Host, type Network, type Program } from "../../mesh/namespaces.ts";
import { answering, call, type Outcome } from "../../sidecar/intercept/calls.ts";
import { countersign } from "../run.ts";

const application: Credentials = { uid: 65_534, gid: 65_534 };
const proxy: Credentials = { uid: 1337, gid: 1337 };
const missing = withoutNamespaces();
const because = missing === undefined ? "" : ` (${missing})`;

/** By IPv4 and by IPv6: the same has to hold. */
function both(to: Host, port: number): string[] {
  return [`${to.v4}:${port}`, `[${to.v6}]:${port}`];
}

const names = (outcomes: readonly Outcome[]) => outcomes.map((each) => ("name" in each ? each.name : each.error));
const originals = (outcomes: readonly Outcome[]) => outcomes.map((each) => ("original" in each ? each.original : undefined));
const callers = (outcomes: readonly Outcome[]) => outcomes.map((each) => ("from" in each ? each.from : undefined));

async function install(host: Host, backend: "nft" | "iptables", options: RuleOptions): Promise<void> {
  await installRules(runIn(host.name), backend, rulesOf(planOf(options)));
}

const matrix = (["nft", "iptables"] as const).flatMap((backend) =>
  (["redirect", "tproxy"] as const).map((mode) => [backend, mode] as const),
);

describe.skipIf(missing !== undefined).each(matrix)(`%s, %s${because}`, (backend, mode) => {
  let network: Network;
  let workload: Host;
  let remote: Host;
  let neighbour: Host;
  beforeAll(async () => {
    network = await createNetwork(["workload", "remote", "neighbour"]);
    workload = network.host("workload");
    remote = network.host("remote");
    neighbour = network.host("neighbour");
    const programs: Program[] = [
      workload.start(answering("outbound=15001:redirect:outbound", "app=8080", "skipped=2222", "metrics=15020")),
      workload.start(
        mode === "tproxy"
          ? [countersign, "intercept", "run", "--mode", mode, "--", ...answering("inbound=fd:tproxy:inbound")]
          : answering("inbound=15006:redirect:inbound"),
      ),
      remote.start(answering("remote=80", "remote=2223", "remote=15020")),
      neighbour.start(answering("neighbour=80")),
    ];
    await Promise.all(programs.map((each) => each.line((line) => line.startsWith("ready"))));
    await install(workload, backend, {
      mode,
      skipInboundPorts: "2222",
      skipOutboundPorts: "2223,4000-4010",
      skipOutboundCidrs: `${neighbour.v4},${neighbour.v6}/128`,
    });
  });
  afterAll(() => network[Symbol.asyncDispose]());

  test("what the application calls goes to the outbound port, which learns where it was going", async () => {
    const outcomes = await call(workload, both(remote, 80), application);
    expect(names(outcomes)).toEqual(["outbound", "outbound"]);
    expect(originals(outcomes)).toEqual(both(remote, 80));
  });

  test("so does what nobody answers, and the ports of other machines' sidecars", async () => {
    expect(names(await call(workload, [...both(remote, 9), ...both(remote, 15_020)], application))).toEqual(Array(4).fill("outbound"));
  });

  test("loopback is left alone", async () => {
    expect(names(await call(workload, ["127.0.0.1:8080", "127.9.9.9:8080", "[::1]:8080"], application))).toEqual(["app", "app", "app"]);
  });

  test("a call to one's own address is not", async () => {
    const outcomes = await call(workload, both(workload, 8080), application);
    expect(names(outcomes)).toEqual(["outbound", "outbound"]);
    expect(originals(outcomes)).toEqual(both(workload, 8080));
  });

  test("the sidecar's own connections go where they are going, to its own machine too", async () => {
    const outcomes = await call(workload, [...both(remote, 80), ...both(workload, 8080), "127.0.0.1:8080"], proxy);
    expect(names(outcomes)).toEqual(["remote", "remote", "app", "app", "app"]);
  });

  test("ports and networks that are to be skipped are", async () => {
    const outcomes = await call(workload, [...both(remote, 2223), ...both(neighbour, 80)], application);
    expect(names(outcomes)).toEqual(["remote", "remote", "neighbour", "neighbour"]);
  });

  test("what comes in goes to the inbound port, which learns the port and the caller's address", async () => {
    const outcomes = await call(remote, both(workload, 8080));
    expect(names(outcomes)).toEqual(["inbound", "inbound"]);
    expect(originals(outcomes)).toEqual(both(workload, 8080));
    expect(callers(outcomes)).toEqual([remote.v4, remote.v6]);
  });

  test("a port where no application listens is not shown to be so", async () => {
    expect(names(await call(remote, both(workload, 9)))).toEqual(["inbound", "inbound"]);
  });

  test("the outbound port cannot be reached from outside", async () => {
    const outcomes = await call(remote, both(workload, 15_001));
    expect(names(outcomes)).toEqual(["inbound", "inbound"]);
    expect(originals(outcomes)).toEqual(both(workload, 15_001));
  });

  test("peers reach the inbound port itself, and that is no redirected connection", async () => {
    const outcomes = await call(remote, both(workload, 15_006));
    expect(names(outcomes)).toEqual(["inbound", "inbound"]);
    expect(originals(outcomes)).toEqual([undefined, undefined]);
  });

  test("admin ports and skipped ports are themselves", async () => {
    expect(names(await call(remote, [...both(workload, 15_020), ...both(workload, 2222)]))).toEqual([
      "metrics",
      "metrics",
      "skipped",
      "skipped",
    ]);
    expect(names(await call(workload, both(workload, 15_020), application))).toEqual(["metrics", "metrics"]);
  });
});

describe.skipIf(missing !== undefined).each(["nft", "iptables"] as const)(`%s${because}`, (backend) => {
  let network: Network;
  let workload: Host;
  let remote: Host;
  let neighbour: Host;
  beforeAll(async () => {
    network = await createNetwork(["workload", "remote", "neighbour"]);
    workload = network.host("workload");
    remote = network.host("remote");
    neighbour = network.host("neighbour");
    const programs = [
      workload.start(answering("outbound=15001:redirect:outbound", "app=8080")),
      remote.start(answering("remote=80")),
      neighbour.start(answering("neighbour=80")),
    ];
    await Promise.all(programs.map((each) => each.line((line) => line.startsWith("ready"))));
  });
  afterAll(() => network[Symbol.asyncDispose]());

  test("included networks are the only ones", async () => {
    await install(workload, backend, { includeOutboundCidrs: `${remote.v4}/32,${remote.v6}` });
    const outcomes = await call(workload, [...both(remote, 80), ...both(neighbour, 80)], application);
    expect(names(outcomes)).toEqual(["outbound", "outbound", "neighbour", "neighbour"]);
  });

  test("a group can be the proxy's, and several users", async () => {
    await install(workload, backend, { proxyUid: "2000,2001", proxyGid: "3000" });
    const as = async (uid: number, gid: number) => names(await call(workload, both(remote, 80), { uid, gid }));
    expect(await as(2000, 1)).toEqual(["remote", "remote"]);
    expect(await as(2001, 1)).toEqual(["remote", "remote"]);
    expect(await as(65_534, 3000)).toEqual(["remote", "remote"]);
    expect(await as(1337, 1337)).toEqual(["outbound", "outbound"]);
  });

  test("more ports than one rule of iptables takes", async () => {
    const ports = Array.from({ length: 40 }, (_, index) => 3001 + 2 * index);
    await install(workload, backend, { skipOutboundPorts: [...ports, "80-90"].join(",") });
    expect(names(await call(workload, [...both(remote, 80), `${remote.v4}:3000`], application))).toEqual(["remote", "remote", "outbound"]);
    expect(await call(workload, [`${remote.v4}:3079`], application)).toEqual([{ error: "ECONNREFUSED" }]);
  });
});
