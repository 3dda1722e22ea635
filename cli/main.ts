/** The command line. Commands load what they need when they run: a sidecar does not read what `up` is made of. */
import { Command } from "commander";
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
  .action(async (options: { file: string; data?: string; json?: true }) => {
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
  .description("run a sidecar; configured by COUNTERSIGN_* variables (see README)")
  .action(async () => {
    const { sidecar } = await import("./sidecar.ts");
    await sidecar();
  });

program
  .command("control-plane")
  .description("run a control plane; configured by COUNTERSIGN_* variables (see README)")
  .action(async () => {
    const { controlPlane } = await import("./control-plane.ts");
    await controlPlane();
  });

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  fail(error);
}
