/**
 * iptables-nft makes netfilter's own chains, and the table around them, when a rule is first put there, and leaves them behind
 * when the last one goes. So that a removal leaves nothing, the jump's comment remembers what was made for it.
 */
import { RulesError } from "./error.ts";
import { baseChainOf, hooks, type Family, type Made, type Table } from "./iptables-rules.ts";
import type { Hook } from "./plan.ts";
import { must, type Run } from "./programs.ts";

interface Listed {
  readonly nftables: readonly {
    readonly table?: { readonly family: string; readonly name: string };
    readonly chain?: { readonly name: string; readonly hook?: string; readonly policy?: string };
    readonly rule?: { readonly chain: string };
  }[];
}

/** What will be made for a jump from each hook; for jumps that are there already, what they say. */
export async function howMade(run: Run, family: Family, table: Table, jumps: readonly string[]): Promise<Made> {
  const made = new Map<Hook, "table" | "chain">();
  const listed = await list(run, family, table);
  if (listed === "unknown") return made;
  for (const hook of hooks) {
    const chain = baseChainOf[hook];
    const jump = jumps.find((line) => line.startsWith(`-A ${chain} `));
    const said = jump === undefined ? undefined : markIn(jump);
    if (said !== undefined) made.set(hook, said);
    else if (listed === "absent") made.set(hook, "table");
    else if (jump === undefined && !listed.some((each) => each.chain?.name === chain)) made.set(hook, "chain");
  }
  return made;
}

/** Takes away what was made for jumps that have gone, unless somebody else has come to use it. */
export async function forgetMade(run: Run, family: Family, table: Table, jumps: readonly string[]): Promise<void> {
  if (!jumps.some((line) => markIn(line) !== undefined)) return;
  const listed = await list(run, family, table);
  if (listed === "unknown" || listed === "absent") return;
  const chains = listed.flatMap(({ chain }) => chain ?? []);
  const isUnused = (name: string) =>
    !listed.some(({ rule }) => rule?.chain === name) && chains.some((each) => each.name === name && each.policy === "accept");
  if (jumps.some((line) => markIn(line) === "table") && chains.every(({ name }) => isUnused(name))) {
    await must(run, ["nft", "delete", "table", family, table]);
    return;
  }
  for (const hook of hooks) {
    const chain = baseChainOf[hook];
    const jump = jumps.find((line) => line.startsWith(`-A ${chain} `));
    if (jump !== undefined && markIn(jump) !== undefined && isUnused(chain))
      await must(run, ["nft", "delete", "chain", family, table, chain]);
  }
}

function markIn(jump: string): "table" | "chain" | undefined {
  const mark = /--comment "countersign [0-9a-f]{12} jump made-(table|chain)"/.exec(jump)?.[1];
  return mark === "table" || mark === "chain" ? mark : undefined;
}

/** Unknown where there is no nft, as with the older iptables, which has no such leftovers. */
async function list(run: Run, family: Family, table: Table): Promise<Listed["nftables"] | "absent" | "unknown"> {
  try {
    const { nftables } = JSON.parse(await must(run, ["nft", "-j", "list", "tables"])) as Listed;
    if (!nftables.some((each) => each.table?.family === family && each.table.name === table)) return "absent";
    return (JSON.parse(await must(run, ["nft", "-j", "list", "table", family, table])) as Listed).nftables;
  } catch (error) {
    if (error instanceof RulesError) return "unknown";
    throw error;
  }
}
