/**
 * `npm start`: brings up the shop and prints, as it happens, who got which certificate and session, what every call was
 * decided on, and what refuses the calls that must fail. `--once` ends after that; `--json` prints one object a line.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { endWithReader, fail } from "../../cli/fail.ts";
import { readMeshFile } from "../../cli/up/mesh-file.ts";
import { describeExit } from "../../cli/up/processes.ts";
import { runMesh, type MeshEvent, type RunningMesh } from "../../cli/up/run-mesh.ts";
import { runUntilSignalled } from "../../common/runtime/shutdown.ts";
import { expectedCalls } from "./expected-calls.ts";
import { refusedCalls } from "./refused-calls.ts";
import { createTranscript, type Transcript } from "./transcript.ts";

const usage = `Usage: npm start -- [--once] [--json]

Runs the example mesh examples/shop and shows what happens to calls that are allowed and to calls that are not.

  --once   run the transcript and end: status 0 if every call got what it should, 1 otherwise
  --json   print one JSON object a line
  --help   this text
`;

const drainMilliseconds = 30_000;
/** pino's number. */
const errorLevel = 50;

function show(transcript: Transcript, event: MeshEvent): void {
  if (event.kind === "output") {
    transcript.print({ type: "output", process: event.process, line: event.line });
  } else if (event.kind === "exited") {
    transcript.print({ type: "problem", process: event.process, text: describeExit(event.exit) });
  } else if (event.kind === "log") {
    const text = (name: string) => {
      const value = event.fields.get(name);
      return typeof value === "string" ? value : "";
    };
    const workload = event.process.replace(/-sidecar$/, "");
    const what = event.fields.get("event");
    if (what === "certificate-issued" || what === "certificate-renewed") {
      transcript.print({ type: "certificate", workload, spiffeId: text("spiffeId"), notAfter: text("notAfter") });
    } else if (what === "session-assumed") {
      transcript.print({ type: "session", workload, sessionArn: text("sessionArn"), until: text("until") });
    } else if (Number(event.fields.get("level")) >= errorLevel) {
      transcript.print({ type: "problem", process: event.process, text: text("msg") });
    }
  }
}

/** Returns how many calls did not get what they should. */
async function tell(transcript: Transcript, mesh: RunningMesh, signal: AbortSignal): Promise<number> {
  let passed = 0;
  let failed = 0;
  const count = (ok: boolean) => (ok ? passed++ : failed++);
  transcript.print({ type: "heading", text: "Calls that must succeed" });
  for await (const entry of expectedCalls(mesh)) {
    transcript.print(entry);
    count(entry.ok);
  }
  transcript.print({ type: "heading", text: "Calls that must fail, and what refuses them" });
  for await (const entry of refusedCalls(mesh, signal)) {
    transcript.print(entry);
    count(entry.ok);
  }
  transcript.print({ type: "summary", passed, failed });
  return failed;
}

function printAddresses(transcript: Transcript, mesh: RunningMesh): void {
  transcript.print({ type: "heading", text: "The mesh stays up; Ctrl-C ends it" });
  transcript.print({ type: "address", of: "control-plane", name: "metrics", url: `http://${mesh.controlPlane.metrics}/metrics` });
  for (const [workload, { admin, metrics, outbound }] of mesh.sidecars) {
    transcript.print({ type: "address", of: workload, name: "admin", url: `http://${admin}/` });
    transcript.print({ type: "address", of: workload, name: "metrics", url: `http://${metrics}/metrics` });
    transcript.print({ type: "address", of: workload, name: "outbound", url: `http://${outbound}` });
  }
}

async function run(options: { once: boolean; json: boolean }): Promise<number> {
  const file = join(import.meta.dirname, "mesh.yaml");
  const resources = readMeshFile(await readFile(file, "utf8"), "examples/shop/mesh.yaml");
  const data = await mkdtemp(join(tmpdir(), "countersign-shop-"));
  const transcript = createTranscript(process.stdout, options.json);
  let failed: number | undefined;
  try {
    await runUntilSignalled(
      async (signal) => {
        transcript.print({ type: "heading", text: "Identities" });
        const mesh = await runMesh({
          resources,
          data,
          cwd: import.meta.dirname,
          environment: process.env,
          onEvent: (event) => show(transcript, event),
          signal,
        });
        const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
        try {
          failed = await Promise.race([tell(transcript, mesh, signal), mesh.failed]);
          if (options.once) return;
          printAddresses(transcript, mesh);
          await Promise.race([stopped, mesh.failed]);
        } finally {
          await mesh.stop();
        }
      },
      { drainMilliseconds },
    );
  } finally {
    await rm(data, { recursive: true, force: true });
  }
  // Undefined where it was stopped before all calls were made.
  return options.once && failed !== 0 ? 1 : 0;
}

endWithReader();
try {
  const { values } = parseArgs({
    options: { once: { type: "boolean" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help) process.stdout.write(usage);
  else process.exit(await run({ once: values.once ?? false, json: values.json ?? false }));
} catch (error) {
  fail(error);
}
