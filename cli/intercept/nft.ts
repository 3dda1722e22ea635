/** The rules by nftables: one table of our own for both families, which is made, replaced and removed as a whole. */
import type { Backend } from "./backend.ts";
import { commentOf, problemsOf, type Installed } from "./installed.ts";
import { portsToString, type Condition, type Hook, type Rule, type Rules, type Verdict } from "./plan.ts";
import { must, type Run } from "./programs.ts";

const table = "inet countersign";
const chains: readonly Hook[] = ["output", "prerouting"];

export function createNft(run: Run): Backend {
  return {
    name: "nft",
    render: renderNft,
    read: () => read(run),
    async check(rules) {
      await must(run, ["nft", "--check", "-f", "-"], renderNft(rules));
    },
    async install(rules) {
      await must(run, ["nft", "-f", "-"], renderNft(rules));
    },
    async remove() {
      // Made first, so that there is one to delete: the whole script is one transaction.
      await must(run, ["nft", "-f", "-"], `table ${table}\ndelete table ${table}\n`);
    },
  };
}

/** A script for `nft -f`, which replaces whatever there was of ours in one transaction. */
export function renderNft({ id, mode, rules }: Rules): string {
  const lines = [`table ${table}`, `delete table ${table}`, `table ${table} {`];
  for (const hook of chains) {
    const type = hook === "prerouting" && mode === "tproxy" ? "filter" : "nat";
    // Numbers, because older versions know the names in some families only: -150 is mangle, -100 where destinations change.
    const priority = type === "filter" ? -150 : -100;
    lines.push(`\tchain ${hook} {`, `\t\ttype ${type} hook ${hook} priority ${priority}; policy accept;`);
    for (const [index, rule] of rules.entries()) {
      if (rule.hook === hook) lines.push(`\t\t${renderRule(rule)} comment "${commentOf(id, index + 1, rules.length)}"`);
    }
    lines.push("\t}");
  }
  lines.push("}", "");
  return lines.join("\n");
}

function renderRule({ when, verdict }: Rule): string {
  return ["meta l4proto tcp", ...when.map(renderCondition), renderVerdict(verdict)].join(" ");
}

function renderCondition(condition: Condition): string {
  switch (condition.kind) {
    case "uid":
      return `meta skuid ${condition.id}`;
    case "gid":
      return `meta skgid ${condition.id}`;
    case "to":
      return `${condition.cidr.family} daddr ${condition.cidr.text}`;
    case "ports":
      return `tcp dport { ${portsToString(condition.ports, "-").join(", ")} }`;
    case "local":
      return `fib daddr type ${condition.is ? "" : "!= "}local`;
    case "from-loopback":
      return 'iifname "lo"';
    case "opening":
  }
  return "tcp flags & (fin | syn | rst | ack) == syn";
}

function renderVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case "leave":
      return "return";
    case "redirect":
      return `redirect to :${verdict.port}`;
    case "hand-over":
  }
  return `tproxy to :${verdict.port} accept`;
}

interface Listed {
  readonly nftables: readonly {
    readonly chain?: { readonly name: string; readonly hook?: string };
    readonly rule?: { readonly chain: string; readonly comment?: string };
  }[];
}

async function read(run: Run): Promise<Installed> {
  const absent: Installed = { backend: "nft", state: "absent", id: undefined, problems: [], listing: "" };
  const tables = await must(run, ["nft", "list", "tables"]);
  if (!tables.split("\n").includes(`table ${table}`)) return absent;
  const { nftables } = JSON.parse(await must(run, ["nft", "-j", "list", "table", "inet", "countersign"])) as Listed;
  const listing = await must(run, ["nft", "-s", "list", "table", "inet", "countersign"]);
  const comments = chains.flatMap((name) => nftables.filter(({ rule }) => rule?.chain === name).map(({ rule }) => rule?.comment));
  const { ids, problems } = problemsOf(comments, "the table");
  for (const name of chains) {
    if (!nftables.some(({ chain }) => chain?.name === name && chain.hook === name)) problems.push(`the chain ${name} is not at its hook`);
  }
  const strange = nftables.find(({ chain }) => chain && !chains.some((name) => name === chain.name))?.chain;
  if (strange) problems.push(`the chain ${strange.name} is not of countersign`);
  return {
    backend: "nft",
    state: problems.length === 0 ? "complete" : "drifted",
    id: ids.size === 1 ? [...ids][0] : undefined,
    problems,
    listing,
  };
}
