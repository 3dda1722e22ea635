/** `countersign intercept`: the rules by which a network namespace's connections go through its sidecar. */
import { installRules, readRules, removeRules } from "./intercept/apply-rules.ts";
import { backendNames, type BackendName } from "./intercept/backend.ts";
import { RulesError } from "./intercept/error.ts";
import { renderIptables } from "./intercept/iptables-rules.ts";
import type { Installed } from "./intercept/installed.ts";
import { launch } from "./intercept/launch.ts";
import { renderNft } from "./intercept/nft.ts";
import { planOf, type RuleOptions } from "./intercept/options.ts";
import { rulesOf, type Rules } from "./intercept/plan.ts";
import { runHere } from "./intercept/programs.ts";

export interface InterceptOptions extends RuleOptions {
  readonly backend: string;
  readonly dryRun?: true;
  readonly json?: true;
}

/** Beside 0 and the 1 of every command that fails. */
const exitStatus = { absent: 3, drifted: 4 } as const;

export async function interceptInstall(options: InterceptOptions): Promise<void> {
  const rules = rulesOf(planOf(options));
  const wanted = backendOf(options);
  const { backend, changed } = await installRules(runHere, wanted, rules, options.dryRun === true);
  if (options.json) {
    print({ action: "install", backend, id: rules.id, mode: rules.mode, changed, dryRun: options.dryRun === true });
    return;
  }
  if (options.dryRun)
    process.stdout.write(changed ? `# would be installed by ${backend}\n${render(backend, rules)}` : "# installed already\n");
  else process.stdout.write(`${changed ? "installed" : "installed already"} by ${backend}: ${describe(rules)}\n`);
}

export async function interceptRemove(options: InterceptOptions): Promise<void> {
  const removed = await removeRules(runHere, backendOf(options), options.dryRun === true);
  if (options.json) print({ action: "remove", backends: removed, changed: removed.length > 0, dryRun: options.dryRun === true });
  else if (removed.length === 0) process.stdout.write("nothing is installed\n");
  else process.stdout.write(`${options.dryRun ? "would be removed" : "removed"} from ${removed.join(" and ")}\n`);
}

/** `asked` where options say which rules should be there. */
export async function interceptStatus(options: InterceptOptions, asked: boolean): Promise<void> {
  const expected = asked ? rulesOf(planOf(options)) : undefined;
  const found = await readRules(runHere, backendOf(options));
  const problems = found.flatMap((each) => each.problems);
  if (found.length > 1) problems.push("both nft and iptables have rules of countersign");
  if (problems.length === 0 && expected && found.some(({ id }) => id !== expected.id)) {
    problems.push("the rules that are installed are not those that the options ask for");
  }
  const state: Installed["state"] = found.length === 0 ? "absent" : problems.length === 0 ? "complete" : "drifted";
  if (options.json) {
    print({ state, problems, installed: found.map(({ backend, id, listing }) => ({ backend, id, rules: listing })) });
  } else {
    process.stdout.write(
      state === "absent" ? "not installed\n" : state === "complete" ? "installed\n" : "installed, but not as it should be\n",
    );
    for (const problem of problems) process.stdout.write(`  ${problem}\n`);
    for (const { backend, listing } of found) process.stdout.write(`\n# ${backend}\n${listing}`);
  }
  if (state !== "complete") process.exitCode = exitStatus[state];
}

export function interceptPrint(options: InterceptOptions): void {
  const rules = rulesOf(planOf(options));
  const wanted = backendOf(options);
  const backend = wanted === "auto" ? "nft" : wanted;
  if (options.json) print({ backend, id: rules.id, mode: rules.mode, rules: render(backend, rules) });
  else process.stdout.write(render(backend, rules));
}

/** Does not return. */
export function interceptRun(command: readonly string[], options: RuleOptions): never {
  const plan = planOf(options);
  const [uid = 0] = plan.proxyUids;
  launch({
    mode: plan.mode,
    uid,
    gid: plan.proxyGids[0] ?? uid,
    inboundPort: plan.inboundPort,
    outboundPort: plan.outboundPort,
    command,
    environment: process.env,
  });
}

function backendOf({ backend }: InterceptOptions): BackendName {
  const found = backendNames.find((name) => name === backend);
  if (!found) throw new RulesError("bad-option", `--backend: expected one of ${backendNames.join(", ")}, found ${JSON.stringify(backend)}`);
  return found;
}

function render(backend: "nft" | "iptables", rules: Rules): string {
  if (backend === "nft") return renderNft(rules);
  return `# iptables-restore --noflush\n${renderIptables(rules, "ip")}\n# ip6tables-restore --noflush\n${renderIptables(rules, "ip6")}`;
}

function describe({ id, mode, rules }: Rules): string {
  return `${rules.length} rules, ${mode}, ${id}`;
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
