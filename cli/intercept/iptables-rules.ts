/** The rules in the language of `iptables-restore --noflush`, a family at a time. */
import { commentOf } from "./installed.ts";
import { portsToString, type Condition, type Hook, type Rule, type Rules, type Verdict } from "./plan.ts";

export type Family = "ip" | "ip6";
export type Table = "nat" | "mangle";

export const chainOf = { output: "COUNTERSIGN_OUTPUT", prerouting: "COUNTERSIGN_INBOUND" } as const;
export const baseChainOf = { output: "OUTPUT", prerouting: "PREROUTING" } as const;
export const hooks: readonly Hook[] = ["output", "prerouting"];
/** xt_multiport's, in which a range counts twice. */
const multiportSlots = 15;

/** What of ours is in a table of a family: lines of `iptables-save`. */
export interface Traces {
  readonly family: Family;
  readonly table: Table;
  readonly chains: readonly string[];
  readonly rules: readonly string[];
  readonly jumps: readonly string[];
}

/** By hook, what of netfilter's own has to be made for the jump from there. */
export type Made = ReadonlyMap<Hook, "table" | "chain">;

/** Input of `iptables-restore --noflush`. `before` are the traces that it replaces. */
export function renderIptables(
  { id, mode, rules }: Rules,
  family: Family,
  before: readonly Traces[] = [],
  made: ReadonlyMap<Table, Made> = new Map(),
): string {
  const rendered = rules
    .filter(({ when }) => when.every((each) => each.kind !== "to" || each.cidr.family === family))
    .flatMap((rule) => splitPorts(rule).map((each) => ({ hook: each.hook, text: renderRule(each) })));
  const lines = new Map<Table, string[]>();
  for (const each of before) {
    if (each.family === family) lines.set(each.table, each.chains.length + each.jumps.length > 0 ? removal(each) : []);
  }
  for (const hook of hooks) {
    const table = hook === "prerouting" && mode === "tproxy" ? "mangle" : "nat";
    const own = lines.get(table) ?? [];
    lines.set(table, own);
    const mark = made.get(table)?.get(hook);
    own.push(`:${chainOf[hook]} - [0:0]`);
    for (const [index, { hook: at, text }] of rendered.entries()) {
      if (at === hook)
        own.push(`-A ${chainOf[hook]} ${text.replace(" -j ", ` -m comment --comment "${commentOf(id, index + 1, rendered.length)}" -j `)}`);
    }
    own.push(
      `-A ${baseChainOf[hook]} -p tcp -m comment --comment "countersign ${id} jump${mark === undefined ? "" : ` made-${mark}`}" -j ${chainOf[hook]}`,
    );
  }
  return [...lines].map(([table, each]) => (each.length === 0 ? "" : section(table, each))).join("");
}

export function section(table: Table, lines: readonly string[]): string {
  return [`*${table}`, ...lines, "COMMIT", ""].join("\n");
}

/** What takes the traces of a table away again. */
export function removal({ chains, jumps }: Traces): string[] {
  return [
    ...jumps.map((line) => line.replace(/^-A/, "-D")),
    ...chains.map((chain) => `-F ${chain}`),
    ...chains.map((chain) => `-X ${chain}`),
  ];
}

function splitPorts(rule: Rule): Rule[] {
  const at = rule.when.findIndex((each) => each.kind === "ports");
  const condition = rule.when[at];
  if (condition?.kind !== "ports") return [rule];
  const groups: (typeof condition.ports)[number][][] = [[]];
  let slots = 0;
  for (const range of condition.ports) {
    const needed = range.first === range.last ? 1 : 2;
    if (slots + needed > multiportSlots) {
      groups.push([]);
      slots = 0;
    }
    slots += needed;
    groups.at(-1)?.push(range);
  }
  return groups.map((ports) => ({ ...rule, when: rule.when.with(at, { kind: "ports", ports }) }));
}

function renderRule({ when, verdict }: Rule): string {
  return ["-p tcp", ...when.map(renderCondition), renderVerdict(verdict)].join(" ");
}

function renderCondition(condition: Condition): string {
  switch (condition.kind) {
    case "uid":
      return `-m owner --uid-owner ${condition.id}`;
    case "gid":
      return `-m owner --gid-owner ${condition.id}`;
    case "to":
      return `-d ${condition.cidr.text}`;
    case "ports":
      return `-m multiport --dports ${portsToString(condition.ports, ":").join(",")}`;
    case "local":
      return `-m addrtype ${condition.is ? "" : "! "}--dst-type LOCAL`;
    case "from-loopback":
      return "-i lo";
    case "opening":
  }
  return "--tcp-flags FIN,SYN,RST,ACK SYN";
}

function renderVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case "leave":
      return "-j RETURN";
    case "redirect":
      return `-j REDIRECT --to-ports ${verdict.port}`;
    case "hand-over":
  }
  return `-j TPROXY --on-port ${verdict.port}`;
}
