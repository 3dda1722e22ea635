/** What every command has in common: help, version, what it says of a mistake, and where it can be run from. */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import packageJson from "../../package.json" with { type: "json" };
import { countersign } from "../mesh/harness.ts";
import { failure, run } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-cli-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("--version and --help are for stdout, and 0", async () => {
  expect(await run(["--version"])).toEqual({ status: 0, stdout: `${packageJson.version}\n`, stderr: "" });
  const help = await run(["--help"]);
  expect(help).toMatchObject({ status: 0, stderr: "" });
  for (const command of ["up", "apply", "get", "sidecar", "control-plane"])
    expect(help.stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
  expect(await run(["up", "--help"])).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining("mesh.yaml") as string });
});

test.each<[string, string[], string]>([
  ["an unknown command", ["upp"], "unknown command 'upp'"],
  ["an unknown option", ["up", "--fiel", "x"], "unknown option '--fiel'"],
  ["a missing option", ["apply"], "required option '-f, --file <file...>' not specified"],
  ["a missing argument", ["get"], "missing required argument 'kind'"],
  ["too many arguments", ["up", "mesh.yaml"], "too many arguments"],
])("%s is told on stderr, and 1", async (_, args, message) => {
  const { status, stdout, stderr } = await run(args);
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toContain(message);
});

test("no command at all shows the help on stderr, and is 1", async () => {
  expect(await run([])).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("Usage: countersign") as string });
});

test("it runs through links, as npx makes them, from any folder and without Node on the PATH", async () => {
  const direct = join(folder, "direct");
  const nested = join(folder, "nested");
  symlinkSync(countersign, direct);
  symlinkSync("direct", nested);
  for (const program of [direct, nested]) {
    const outcome = await run(["--version"], { program, cwd: "/", environment: { PATH: "/usr/bin:/bin" } });
    expect(outcome).toEqual({ status: 0, stdout: `${packageJson.version}\n`, stderr: "" });
  }
});

describe("a configuration that cannot be", () => {
  test("of a sidecar: every mistake at once, a line each, and no secret", async () => {
    const { status, stdout, stderr } = await run(["sidecar"], {
      environment: {
        COUNTERSIGN_TRUST_DOMAIN: "Prod.Example",
        COUNTERSIGN_CONTROL_PLANE: "somewhere",
        COUNTERSIGN_JOIN_TOKEN: "hush",
        COUNTERSIGN_LOG_LEVEL: "loud",
        COUNTERSIGN_INBUOND: "127.0.0.1:0",
      },
    });
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    const lines = stderr.trimEnd().split("\n");
    expect(lines).toEqual([
      expect.stringMatching(/^countersign: COUNTERSIGN_TRUST_DOMAIN: expected a trust domain .*, found "Prod\.Example"$/),
      expect.stringMatching(/^countersign: COUNTERSIGN_CONTROL_PLANE: expected host:port, found "somewhere"$/),
      expect.stringMatching(/^countersign: COUNTERSIGN_TRUST_BUNDLE: expected .*, but it is not set$/),
      expect.stringMatching(/^countersign: COUNTERSIGN_LOG_LEVEL: expected one of /),
      expect.stringMatching(/^countersign: COUNTERSIGN_INBUOND: not a variable of this program; did you mean COUNTERSIGN_INBOUND\?$/),
    ]);
    expect(stderr).not.toContain("hush");
  });

  test("of a sidecar: a trust bundle that is not there, or none", async () => {
    const environment = {
      COUNTERSIGN_TRUST_DOMAIN: "test.example",
      COUNTERSIGN_CONTROL_PLANE: "127.0.0.1:1",
      COUNTERSIGN_JOIN_TOKEN: "hush",
      ...Object.fromEntries(["OUTBOUND", "INBOUND", "ADMIN", "METRICS", "HEALTH"].map((name) => [`COUNTERSIGN_${name}`, "127.0.0.1:0"])),
    };
    const missing = join(folder, "missing.pem");
    expect(failure(await run(["sidecar"], { environment: { ...environment, COUNTERSIGN_TRUST_BUNDLE: missing } }))).toContain(missing);
  });

  test("of a control plane: the folder and the trust domain", async () => {
    expect(failure(await run(["control-plane"]))).toBe(
      "countersign: COUNTERSIGN_DATA: expected a folder for what the control plane keeps, but it is not set",
    );
  });
});
