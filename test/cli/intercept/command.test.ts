/** `countersign intercept` as an operator has it: what it leaves behind, what it says, what it ends with. */
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readableCheckout } from "../../mesh/checkout.ts";
import { createNetwork, withoutNamespaces, type Finished, type Host, type Network } from "../../mesh/namespaces.ts";
import { countersign, failure, run } from "../run.ts";

const missing = withoutNamespaces();
const because = missing === undefined ? "" : ` (${missing})`;

/** Everything that netfilter has, without counters and dates. */
async function ruleset(host: Host): Promise<string> {
  const parts = [
    await host.must("nft", "-s", "list", "ruleset"),
    await host.must("iptables-nft-save"),
    await host.must("ip6tables-nft-save"),
    await host.must("ip", "rule"),
  ];
  return parts
    .join("\n")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\[\d+:\d+\]/g, "");
}

const others = `table inet theirs {
  chain output { type nat hook output priority -90; tcp dport 1 redirect to :2; }
}
`;

describe.skipIf(missing !== undefined).each(["nft", "iptables"] as const)(`by %s${because}`, (backend) => {
  let network: Network;
  let host: Host;
  const intercept = (...args: string[]): Promise<Finished> => host.run([countersign, "intercept", ...args]);
  beforeEach(async () => {
    network = await createNetwork(["workload"]);
    host = network.host("workload");
  });
  afterEach(() => network[Symbol.asyncDispose]());

  test.each(["redirect", "tproxy"])("twice is once, and removing leaves nothing: %s", async (mode) => {
    const before = await ruleset(host);
    const first = await intercept("install", "--backend", backend, "--mode", mode, "--json");
    expect(JSON.parse(first.stdout)).toMatchObject({ action: "install", backend, mode, changed: true });
    const installed = await ruleset(host);
    expect(installed).not.toBe(before);
    const second = await intercept("install", "--backend", backend, "--mode", mode, "--json");
    expect(JSON.parse(second.stdout)).toMatchObject({ backend, changed: false });
    expect(await ruleset(host)).toBe(installed);
    expect(await intercept("remove", "--json")).toMatchObject({ status: 0, stderr: "" });
    expect(await ruleset(host)).toBe(before);
    expect(await intercept("remove")).toMatchObject({ status: 0, stdout: "nothing is installed\n" });
  });

  test("what others have there stays as it is, in the same tables too", async () => {
    await host.must("nft", others);
    for (const iptables of ["iptables-nft", "ip6tables-nft"]) {
      await host.must(iptables, "-t", "nat", "-N", "THEIRS");
      await host.must(iptables, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "99", "-j", "THEIRS");
      await host.must(iptables, "-t", "mangle", "-A", "PREROUTING", "-p", "udp", "-j", "ACCEPT");
    }
    const before = await ruleset(host);
    for (const mode of ["redirect", "tproxy", "redirect"]) await intercept("install", "--backend", backend, "--mode", mode);
    expect(await intercept("status", "--mode", "redirect")).toMatchObject({ status: 0 });
    await intercept("remove");
    expect(await ruleset(host)).toBe(before);
  });

  test("other options replace the rules, and status tells them apart", async () => {
    await intercept("install", "--backend", backend);
    expect(await intercept("status")).toMatchObject({ status: 0 });
    expect(await intercept("status", "--skip-inbound-ports", "22")).toMatchObject({ status: 4 });
    const { stdout } = await intercept("install", "--backend", backend, "--skip-inbound-ports", "22");
    expect(stdout).toMatch(/^installed by/);
    expect(await intercept("status", "--skip-inbound-ports", "22")).toMatchObject({ status: 0 });
  });

  test("the other backend's rules make way", async () => {
    const other = backend === "nft" ? "iptables" : "nft";
    const before = await ruleset(host);
    await intercept("install", "--backend", other);
    await intercept("install", "--backend", backend);
    const status = await intercept("status", "--json");
    expect(JSON.parse(status.stdout)).toMatchObject({ state: "complete", installed: [{ backend }] });
    await intercept("remove");
    expect(await ruleset(host)).toBe(before);
  });

  test("drift shows, and is mended", async () => {
    const tampering: readonly (readonly [string, string])[] =
      backend === "nft"
        ? [
            ["nft insert rule inet countersign output tcp dport 25 return", "the table has a rule that is not of countersign"],
            ["nft flush chain inet countersign prerouting", "the table lacks 4 of 9 rules (6, 7, 8, 9)"],
            ["nft add chain inet countersign strange", "the chain strange is not of countersign"],
            [
              "nft 'flush chain inet countersign prerouting; delete chain inet countersign prerouting'",
              "the chain prerouting is not at its hook",
            ],
          ]
        : [
            ["iptables-nft -t nat -I COUNTERSIGN_OUTPUT -p tcp --dport 25 -j RETURN", "IPv4 has a rule that is not of countersign"],
            ["iptables-nft -t nat -D COUNTERSIGN_OUTPUT 2", "IPv4 lacks 1 of 8 rules (2)"],
            ["ip6tables-nft -t nat -F COUNTERSIGN_INBOUND", "IPv6 lacks 4 of 8 rules (5, 6, 7, 8)"],
            ["iptables-nft -t nat -F OUTPUT", "IPv4 has 0 jumps to COUNTERSIGN_OUTPUT instead of one"],
            ["iptables-nft -t nat -A OUTPUT -p tcp -j COUNTERSIGN_OUTPUT", "IPv4 has 2 jumps to COUNTERSIGN_OUTPUT instead of one"],
            ["ip6tables-nft -t nat -F", "IPv6 has no rules"],
          ];
    const before = await ruleset(host);
    await intercept("install", "--backend", backend);
    await host.must("sh", "-c", tampering[0]?.[0] ?? "");
    expect(await intercept("remove")).toMatchObject({ status: 0 });
    expect(await ruleset(host)).toBe(before);
    for (const [command, problem] of tampering) {
      await intercept("install", "--backend", backend);
      await host.must("sh", "-c", command);
      const status = await intercept("status", "--json");
      expect([command, status.status]).toEqual([command, 4]);
      expect(JSON.parse(status.stdout)).toMatchObject({ state: "drifted", problems: expect.arrayContaining([problem]) as string[] });
    }
    expect(await intercept("install", "--backend", backend)).toMatchObject({ status: 0 });
    expect(await intercept("status")).toMatchObject({ status: 0 });
  });

  test("--dry-run asks the kernel, and changes nothing", async () => {
    const before = await ruleset(host);
    const { status, stdout } = await intercept("install", "--backend", backend, "--dry-run");
    expect(status).toBe(0);
    const printed = await intercept("print", "--backend", backend);
    expect(stdout).toContain(printed.stdout);
    expect(await ruleset(host)).toBe(before);
    await intercept("install", "--backend", backend);
    const installed = await ruleset(host);
    expect(await intercept("remove", "--dry-run")).toMatchObject({ status: 0, stdout: `would be removed from ${backend}\n` });
    expect(await ruleset(host)).toBe(installed);
  });

  test("nothing is installed at first", async () => {
    expect(await intercept("status")).toEqual({ status: 3, stdout: "not installed\n", stderr: "" });
  });
});

describe.skipIf(missing !== undefined)(`all or nothing${because}`, () => {
  test("where IPv6 is refused, IPv4 is as it was", async () => {
    await using network = await createNetwork(["workload"]);
    const host = network.host("workload");
    // A chain where ip6tables wants its own, of a kind that it cannot use.
    await host.must("nft", "table ip6 nat { chain OUTPUT { type filter hook output priority 0; }; }");
    const before = await host.must("nft", "list", "ruleset");
    const outcome = await host.run([countersign, "intercept", "install", "--backend", "iptables"]);
    expect(failure(outcome)).toMatch(/^countersign: ip6tables-nft-restore .* failed: /);
    expect(await host.must("nft", "list", "ruleset")).toBe(before);
  });

  test("the sidecar that run starts has another user and no privilege, nor a way to one", async () => {
    await using network = await createNetwork(["workload"]);
    const host = network.host("workload");
    const script = "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; env | grep ^COUNTERSIGN_ | sort";
    const { status, stdout, stderr } = await host.run([
      countersign,
      "intercept",
      "run",
      "--mode",
      "tproxy",
      "--proxy-uid",
      "4242",
      "--",
      "sh",
      "-c",
      script,
    ]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => line.replaceAll(/\s+/g, " ").trim());
    const none = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((set) => `${set}: 0000000000000000`);
    expect(lines.slice(0, 3)).toEqual(["Uid: 4242 4242 4242 4242", "Gid: 4242 4242 4242 4242", "Groups:"]);
    expect(lines.slice(3, 9)).toEqual([...none, "NoNewPrivs: 1"]);
    expect(lines[9]).toMatch(/^COUNTERSIGN_INBOUND=fd:\d+$/);
    expect(lines.slice(10)).toEqual(["COUNTERSIGN_INTERCEPT=tproxy", "COUNTERSIGN_OUTBOUND=[::]:15001"]);
  });
});

describe("mistakes", () => {
  test.each<[string, string[], string]>([
    [
      "a port that is none",
      ["--skip-inbound-ports", "22,http"],
      '--skip-inbound-ports: expected ports, such as 22,8000-8010, found "http"',
    ],
    [
      "a range the wrong way round",
      ["--skip-outbound-ports", "90-80"],
      '--skip-outbound-ports: expected ports, such as 22,8000-8010, found "90-80"',
    ],
    [
      "a network that is none",
      ["--skip-outbound-cidrs", "10.0.0.0/33"],
      '--skip-outbound-cidrs: expected addresses or networks, such as 10.0.0.0/8, found "10.0.0.0/33"',
    ],
    ["a mode that is none", ["--mode", "magic"], '--mode: expected redirect or tproxy, found "magic"'],
    ["a backend that is none", ["--backend", "ebtables"], '--backend: expected one of auto, nft, iptables, found "ebtables"'],
    [
      "nobody exempted",
      ["--proxy-uid", ""],
      "--proxy-uid: expected at least one: the sidecar's own connections would come back to it for ever",
    ],
    ["one port for both ways", ["--inbound-port", "15001"], "--inbound-port: expected another than --outbound-port"],
    [
      "several at once",
      ["--mode", "x", "--proxy-gid", "-1"],
      '--mode: expected redirect or tproxy, found "x"; --proxy-gid: expected numbers of users or groups, found "-1"',
    ],
  ])("%s", async (_, args, message) => {
    expect(failure(await run(["intercept", "print", ...args]))).toBe(`countersign: ${message}`);
  });

  test.skipIf(missing !== undefined)(`without root, what it takes is said${because}`, async () => {
    const args = ["--reuid=65534", "--clear-groups", "--bounding-set=-all", "--", join(readableCheckout(), "bin/countersign"), "intercept"];
    for (const action of ["install", "remove", "status"]) {
      expect(failure(await run([...args, action], { program: "setpriv" }))).toContain("that takes root, or the capability CAP_NET_ADMIN");
    }
    expect(await run([...args, "print"], { program: "setpriv" })).toMatchObject({ status: 0, stderr: "" });
    expect(failure(await run([...args, "run", "--", "true"], { program: "setpriv" }))).toBe(
      "countersign: becoming another user takes root",
    );
  });
});
