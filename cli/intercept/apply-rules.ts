/** Installing, removing and looking at rules, whichever backend has them. */
import { availableBackends, type Backend, type BackendName } from "./backend.ts";
import { RulesError } from "./error.ts";
import type { Installed } from "./installed.ts";
import type { Rules } from "./plan.ts";
import type { Run } from "./programs.ts";

export interface Outcome {
  readonly backend: Backend["name"];
  /** False where everything was so already. */
  readonly changed: boolean;
}

/**
 * Makes the rules those of the namespace, in place of whatever there was of ours, by either backend. Nothing is in force until
 * all of it is. With `dryRun` it stops short of changing anything. Throws RulesError.
 */
export async function installRules(run: Run, wanted: BackendName, rules: Rules, dryRun = false): Promise<Outcome> {
  const [backend, ...others] = await availableBackends(run, wanted);
  if (!backend) throw new RulesError("no-program", "neither nft nor iptables can be used here");
  const before = await backend.read();
  const superfluous: Backend[] = [];
  for (const other of others) {
    if ((await other.read()).state !== "absent") superfluous.push(other);
  }
  const changed = before.state !== "complete" || before.id !== rules.id || superfluous.length > 0;
  if (dryRun) await backend.check(rules);
  else if (changed) {
    await backend.install(rules);
    for (const other of superfluous) await other.remove();
    const { state, id, problems } = await backend.read();
    if (state !== "complete" || id !== rules.id) {
      throw new RulesError("refused", `${backend.name} took the rules, but they are not what is there now: ${problems.join(", ")}`);
    }
  }
  return { backend: backend.name, changed };
}

/** Takes away all that is ours, by `wanted` or by whichever backend has some. Returns those that had. Throws RulesError. */
export async function removeRules(run: Run, wanted: BackendName, dryRun = false): Promise<readonly Backend["name"][]> {
  const removed: Backend["name"][] = [];
  for (const backend of await availableBackends(run, wanted)) {
    if (wanted !== "auto" && backend.name !== wanted) continue;
    if ((await backend.read()).state === "absent") continue;
    if (!dryRun) await backend.remove();
    removed.push(backend.name);
  }
  return removed;
}

/** What there is of ours; empty where there is nothing. Throws RulesError. */
export async function readRules(run: Run, wanted: BackendName): Promise<readonly Installed[]> {
  const found: Installed[] = [];
  for (const backend of await availableBackends(run, wanted)) {
    if (wanted !== "auto" && backend.name !== wanted) continue;
    const installed = await backend.read();
    if (installed.state !== "absent") found.push(installed);
  }
  return found;
}
