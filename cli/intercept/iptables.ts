/**
 * The rules by iptables and ip6tables: chains of our own, and a jump to each from the chain of netfilter's that it belongs to.
 * `iptables-restore --noflush` takes a table's changes as one transaction; both families are tried before either is changed, and
 * where the second is refused after all, the first is taken back.
 */
import type { Backend } from "./backend.ts";
import { RulesError } from "./error.ts";
import { problemsOf, type Installed } from "./installed.ts";
import { forgetMade, howMade } from "./iptables-made.ts";
import { chainOf, hooks, removal, renderIptables, section, type Family, type Made, type Table, type Traces } from "./iptables-rules.ts";
import { must, type Run } from "./programs.ts";

const tables: readonly Table[] = ["nat", "mangle"];
const familyNames = { ip: "IPv4", ip6: "IPv6" } as const;

export function createIptables(run: Run): Backend {
  /** The names that say which of the two kernels' interfaces they speak to come first. */
  const programs = new Map<string, string>();
  async function use(family: Family, what: "save" | "restore", args: readonly string[], input?: string): Promise<string> {
    const base = family === "ip" ? "iptables" : "ip6tables";
    const known = programs.get(`${base}-${what}`);
    if (known !== undefined) return await must(run, [known, ...args], input);
    try {
      const output = await must(run, [`${base}-nft-${what}`, ...args], input);
      programs.set(`${base}-${what}`, `${base}-nft-${what}`);
      return output;
    } catch (error) {
      if (!(error instanceof RulesError) || error.code !== "no-program") throw error;
      programs.set(`${base}-${what}`, `${base}-${what}`);
      return await must(run, [`${base}-${what}`, ...args], input);
    }
  }

  /** A kernel without IPv6 has nothing there to redirect. */
  async function families(): Promise<readonly Family[]> {
    const { status } = await run(["test", "-e", "/proc/net/if_inet6"]);
    return status === 0 ? ["ip", "ip6"] : ["ip"];
  }

  async function traces(): Promise<readonly Traces[]> {
    const found: Traces[] = [];
    for (const family of await families()) {
      for (const table of tables) {
        const lines = (await use(family, "save", ["-t", table])).split("\n");
        found.push({
          family,
          table,
          chains: lines.flatMap((line) => /^:(COUNTERSIGN_\S+) /.exec(line)?.[1] ?? []),
          rules: lines.filter((line) => line.startsWith("-A COUNTERSIGN_")),
          jumps: lines.filter((line) => !line.startsWith("-A COUNTERSIGN_") && / -[jg] COUNTERSIGN_/.test(line)),
        });
      }
    }
    return found;
  }

  async function restore(inputs: readonly { readonly family: Family; readonly text: string }[]): Promise<void> {
    for (const { family, text } of inputs) await use(family, "restore", ["--noflush", "--test"], text);
    for (const { family, text } of inputs) await use(family, "restore", ["--noflush"], text);
  }

  async function remove(): Promise<void> {
    const before = (await traces()).filter(({ chains, jumps }) => chains.length > 0 || jumps.length > 0);
    const inputs = (["ip", "ip6"] as const).map((family) => {
      const sections = before.filter((each) => each.family === family).map((each) => section(each.table, removal(each)));
      return { family, text: sections.join("") };
    });
    await restore(inputs.filter(({ text }) => text !== ""));
    for (const { family, table, jumps } of before) await forgetMade(run, family, table, jumps);
  }

  return {
    name: "iptables",
    render: (rules) => (["ip", "ip6"] as const).map((family) => `# ${familyNames[family]}\n${renderIptables(rules, family)}`).join(""),
    remove,
    async check(rules) {
      for (const family of await families()) await use(family, "restore", ["--noflush", "--test"], renderIptables(rules, family));
    },
    async install(rules) {
      const before = await traces();
      const inputs = [];
      for (const family of await families()) {
        const made = new Map<Table, Made>();
        for (const { table, jumps } of before.filter((each) => each.family === family))
          made.set(table, await howMade(run, family, table, jumps));
        inputs.push({ family, text: renderIptables(rules, family, before, made) });
      }
      try {
        await restore(inputs);
      } catch (error) {
        if (before.every(({ chains, jumps }) => chains.length === 0 && jumps.length === 0)) await remove();
        throw error;
      }
      // The other mode's chains have lost their jumps.
      const now = new Set(
        (await traces()).flatMap(({ family, table, jumps }) => jumps.map((jump) => `${family} ${table} ${baseChainIn(jump)}`)),
      );
      for (const { family, table, jumps } of before) {
        await forgetMade(
          run,
          family,
          table,
          jumps.filter((jump) => !now.has(`${family} ${table} ${baseChainIn(jump)}`)),
        );
      }
    },
    async read() {
      return describe(await traces());
    },
  };
}

function describe(found: readonly Traces[]): Installed {
  const listing = found
    .filter(({ chains, jumps }) => chains.length > 0 || jumps.length > 0)
    .map(({ family, table, rules, jumps }) => [`# ${familyNames[family]}, table ${table}`, ...jumps, ...rules, ""].join("\n"))
    .join("");
  if (listing === "") return { backend: "iptables", state: "absent", id: undefined, problems: [], listing };
  const ids = new Set<string>();
  const problems: string[] = [];
  for (const family of new Set(found.map((each) => each.family))) {
    const own = found.filter((each) => each.family === family);
    const comments = hooks.flatMap((hook) =>
      own.flatMap(({ rules }) => rules.filter((line) => line.startsWith(`-A ${chainOf[hook]} `)).map(commentIn)),
    );
    const outcome = problemsOf(comments, familyNames[family]);
    problems.push(...outcome.problems);
    for (const id of outcome.ids) ids.add(id);
    for (const hook of hooks) {
      const jumps = own.flatMap((each) => each.jumps).filter((line) => line.endsWith(` -j ${chainOf[hook]}`));
      if (jumps.length !== 1) problems.push(`${familyNames[family]} has ${jumps.length} jumps to ${chainOf[hook]} instead of one`);
    }
  }
  if (ids.size > 1) problems.push("IPv4 and IPv6 have rules of different installations");
  return {
    backend: "iptables",
    state: problems.length === 0 ? "complete" : "drifted",
    id: ids.size === 1 ? [...ids][0] : undefined,
    problems,
    listing,
  };
}

function baseChainIn(jump: string): string {
  return jump.split(" ", 2)[1] ?? "";
}

function commentIn(line: string): string | undefined {
  return /--comment "([^"]*)"/.exec(line)?.[1];
}
