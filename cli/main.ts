/** The command line. Commands load what they need when they run: a sidecar does not read what `up` is made of. */
import { Command } from "commander";
import type { CheckOptions } from "./check.ts";
import type { InjectOptions } from "./inject.ts";
import type { InstallOptions } from "./install.ts";
import type { InterceptOptions } from "./intercept.ts";
import type { RuleOptions } from "./intercept/options.ts";
import type { StatusOptions } from "./status.ts";
import type { UninstallOptions } from "./uninstall.ts";
import type { UpOptions } from "./up.ts";
import packageJson from "../package.json" with { type: "json" };
import { endWithReader, fail } from "./fail.ts";

const program = new Command("countersign")
  .description("Every call between services mutually authenticated, signed and authorised")
  .version(packageJson.version)
  .showHelpAfterError("(countersign --help lists the commands)")
  .configureHelp({ sortSubcommands: false });

program
  .command("up")
  .description("run a mesh on this machine: a control plane, and a sidecar beside every program of a mesh.yaml")
  .option("-f, --file <file>", "what to run", "mesh.yaml")
  .option("--data <folder>", "keep the control plane's data here; by default it goes when the mesh does")
  .option("--json", "print one JSON object a line")
  .option(
    "--transparent [mode]",
    "every workload in a network namespace of its own, and all of its TCP in the mesh: redirect or tproxy (takes root)",
  )
  .option("--app-user <user>", "with --transparent, whom programs run as: name, uid or uid:gid (default: who called sudo, or nobody)")
  .option("--proxy-uid <uid>", "with --transparent, whom sidecars run as (default: 1337)")
  .action(async (options: UpOptions) => {
    const { up } = await import("./up.ts");
    await up(options);
  });

program
  .command("apply")
  .description("store resources in the control plane, all or none")
  .requiredOption("-f, --file <file...>", "YAML or JSON files; - for standard input")
  .option("--socket <path>", "admin socket of the control plane (default: $COUNTERSIGN_ADMIN_SOCKET)")
  .option("--dry-run", "only say what would change")
  .option("--json", "print JSON")
  .action(async (options: { file: string[]; socket?: string; dryRun?: true; json?: true }) => {
    const { apply } = await import("./apply.ts");
    await apply(options);
  });

program
  .command("get")
  .description("show resources that the control plane holds")
  .argument("<kind>", "such as services, or workload")
  .argument("[name]")
  .option("-n, --namespace <namespace>", "only this namespace")
  .option("-o, --output <form>", "table, yaml or json", "table")
  .option("--socket <path>", "admin socket of the control plane (default: $COUNTERSIGN_ADMIN_SOCKET)")
  .action(async (kind: string, name: string | undefined, options: { namespace?: string; output: string; socket?: string }) => {
    const { get } = await import("./get.ts");
    await get(kind, name ?? "", options);
  });

program
  .command("join-token")
  .description("mint a join token, good once, with which a workload's sidecar proves who it is")
  .argument("<workload>")
  .option("-n, --namespace <namespace>", "of the workload", "default")
  .option("--ttl <seconds>", "how long it is good (default: 600, at most 86400)")
  .option("--socket <path>", "admin socket of the control plane (default: $COUNTERSIGN_ADMIN_SOCKET)")
  .option("--json", "print JSON, with the SPIFFE id that it is for")
  .action(async (workload: string, options: { namespace: string; ttl?: string; socket?: string; json?: true }) => {
    const { joinToken } = await import("./join-token.ts");
    await joinToken(workload, options);
  });

program
  .command("sidecar")
  .description("run a sidecar; configured by COUNTERSIGN_* variables (docs/reference.md)")
  .action(async () => {
    const { sidecar } = await import("./sidecar.ts");
    await sidecar();
  });

program
  .command("control-plane")
  .description("run a control plane; configured by COUNTERSIGN_* variables (docs/reference.md)")
  .action(async () => {
    const { controlPlane } = await import("./control-plane.ts");
    await controlPlane();
  });

const intercept = program
  .command("intercept")
  .description("send a network namespace's TCP through its sidecar: the kernel's rules for that");

/** What the rules say; the sidecar has to be started with the same. */
function withRuleOptions(command: Command): Command {
  return command
    .option("--mode <mode>", "how connections come in: redirect or tproxy (default: redirect)")
    .option("--proxy-uid <ids>", "users whose connections are left alone (default: 1337)")
    .option("--proxy-gid <ids>", "groups whose connections are left alone")
    .option("--outbound-port <port>", "where the sidecar takes what leaves (default: 15001)")
    .option("--inbound-port <port>", "where the sidecar takes what comes in (default: 15006)");
}

function withFilterOptions(command: Command): Command {
  return withRuleOptions(command)
    .option("--admin-ports <ports>", "of the sidecar, never redirected (default: 15000,15020,15021)")
    .option("--skip-outbound-ports <ports>", "left alone, such as 22,8000-8010")
    .option("--skip-inbound-ports <ports>", "left alone")
    .option("--skip-outbound-cidrs <networks>", "left alone, such as 10.0.0.0/8,fd00::/8")
    .option("--include-outbound-cidrs <networks>", "all others are left alone")
    .option("--backend <name>", "nft, iptables or auto", "auto")
    .option("--json", "print JSON");
}

const ruleNames = ["mode", "proxyUid", "proxyGid", "outboundPort", "inboundPort", "adminPorts", "skipOutboundPorts"];
const isRule = (name: string) => ruleNames.includes(name) || name.startsWith("skip") || name.startsWith("include");

withFilterOptions(intercept.command("install"))
  .description("install the rules, all or none; once is as good as twice")
  .option("--dry-run", "ask the kernel whether it would take them, and print them")
  .action(async (options: InterceptOptions) => {
    const { interceptInstall } = await import("./intercept.ts");
    await interceptInstall(options);
  });

intercept
  .command("remove")
  .description("take all of them away, and nothing else")
  .option("--backend <name>", "nft, iptables or auto", "auto")
  .option("--dry-run", "only say what would be removed")
  .option("--json", "print JSON")
  .action(async (options: InterceptOptions) => {
    const { interceptRemove } = await import("./intercept.ts");
    await interceptRemove(options);
  });

withFilterOptions(intercept.command("status"))
  .description("what is installed; with options, whether it is what they ask for (3: nothing is, 4: something else is)")
  .action(async (options: InterceptOptions) => {
    const { interceptStatus } = await import("./intercept.ts");
    await interceptStatus(options, Object.keys(options).some(isRule));
  });

withFilterOptions(intercept.command("print"))
  .description("print the rules as the backend takes them; needs no privileges")
  .action(async (options: InterceptOptions) => {
    const { interceptPrint } = await import("./intercept.ts");
    interceptPrint(options);
  });

withRuleOptions(intercept.command("run"))
  .description("become the proxy's user, without any privilege, and run the sidecar; for tproxy with its socket, which takes root")
  .argument("[command...]", "instead of the sidecar; after --, where it has options of its own")
  .action(async (command: string[], options: RuleOptions) => {
    const { interceptRun } = await import("./intercept.ts");
    interceptRun(command, options);
  });

program
  .command("inject")
  .description("print pods, and what has templates of pods, with their sidecars: what the cluster does to the pods of meshed namespaces")
  .requiredOption("-f, --file <file...>", "YAML or JSON files; - for standard input")
  .option("--image <image>", "of the sidecar; the cluster takes no other than its own")
  .option("--settings <file>", "the ConfigMap countersign-injection, as kubectl get -o yaml prints it")
  .action(async (options: InjectOptions) => {
    const { inject } = await import("./inject.ts");
    await inject(options);
  });

/** Which cluster a command is about. */
function withCluster(command: Command): Command {
  return command
    .option("--kubeconfig <file>", "default: $KUBECONFIG, or ~/.kube/config; in a pod its service account")
    .option("--context <name>", "of the kubeconfig (default: its current one)")
    .option("--json", "print JSON");
}

withCluster(program.command("install"))
  .description("bring the mesh to a cluster, or bring it up to date: an overlay of k8s/, by server-side apply")
  .option("--overlay <name>", "of k8s/overlays", "dev")
  .option("--image <image>", "of control plane and sidecars, with its tag (default: the overlay's)")
  .option("--trust-domain <name>", "of the mesh, for good (default: the overlay's)")
  .option("--dry-run [who]", "change nothing: server asks the API server about each manifest, client asks nobody (default: server)")
  .option("-o, --output <form>", "print the manifests as yaml or json, and do nothing else")
  .option("--no-wait", "end when everything is applied, before it runs")
  .option("--timeout <time>", "how long to wait until it runs, such as 90s or 5m", "5m")
  .option("--force-conflicts", "take over fields that somebody else has set")
  .action(async (options: InstallOptions) => {
    const { install } = await import("./install.ts");
    await install(options);
  });

withCluster(program.command("uninstall"))
  .description("remove the mesh from a cluster: what was installed, custom resources and their definitions, the trust bundles")
  .option("--yes", "also while pods have sidecars, namespaces are meshed and custom resources are there")
  .option("--dry-run", "only say what would be removed")
  .option("--keep-crds", "keep custom resources and their definitions")
  .option("--remove-labels", "take the label countersign.dev/inject off the namespaces")
  .option("--timeout <time>", "how long to wait until everything is gone, such as 90s or 5m", "5m")
  .action(async (options: UninstallOptions) => {
    const { uninstall } = await import("./uninstall.ts");
    await uninstall(options);
  });

withCluster(program.command("status"))
  .description("show a cluster's mesh: control plane, injection, meshed namespaces, and what is not as it should be, with what mends it")
  .option("-w, --watch", "go on, and print it again when it changes")
  .action(async (options: StatusOptions) => {
    const { status } = await import("./status.ts");
    await status(options);
  });

withCluster(program.command("check"))
  .description("say whether a cluster's mesh is as it should be, or whether it can have one, and what mends it where it is not")
  .option("--overlay <name>", "of k8s/overlays, that would be installed", "dev")
  .action(async (options: CheckOptions) => {
    const { check } = await import("./check.ts");
    await check(options);
  });

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}
