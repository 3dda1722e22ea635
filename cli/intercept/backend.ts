/** The two programs that change netfilter's rules, behind one contract. */
import { RulesError } from "./error.ts";
import type { Installed } from "./installed.ts";
import { createIptables } from "./iptables.ts";
import { createNft } from "./nft.ts";
import type { Rules } from "./plan.ts";
import type { Run } from "./programs.ts";

/** All of it throws RulesError. */
export interface Backend {
  readonly name: "nft" | "iptables";
  /** What `install` gives to the program, for people to read. */
  render(rules: Rules): string;
  read(): Promise<Installed>;
  /** Whether the kernel would take the rules; changes nothing. */
  check(rules: Rules): Promise<void>;
  /** Replaces what there is of ours, all or nothing. */
  install(rules: Rules): Promise<void>;
  /** Takes away everything that is ours, whatever state it is in. */
  remove(): Promise<void>;
}

export const backendNames = ["auto", "nft", "iptables"] as const;
export type BackendName = (typeof backendNames)[number];

/** Those that this machine has, the preferred one first. Throws RulesError `no-program` where `wanted` is not among them. */
export async function availableBackends(run: Run, wanted: BackendName): Promise<readonly Backend[]> {
  const found: Backend[] = [];
  const missing: unknown[] = [];
  for (const backend of [createNft(run), createIptables(run)]) {
    try {
      await backend.read();
      found.push(backend);
    } catch (error) {
      if (wanted === backend.name || !(error instanceof RulesError) || error.code === "not-permitted") throw error;
      missing.push(error);
    }
  }
  if (found.length === 0) {
    throw new RulesError("no-program", "neither nft nor iptables can be used here: apt-get install nftables", { cause: missing[0] });
  }
  return wanted === "auto" ? found : found.toSorted((a, b) => Number(b.name === wanted) - Number(a.name === wanted));
}
