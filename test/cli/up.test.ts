/** `countersign up` as the README has it: programs that know nothing of the mesh. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { until } from "../mesh/harness.ts";
import { failure, launch, run } from "./run.ts";

let folder: string;
let temporary: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-up-"));
  temporary = join(folder, "tmp");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => rmSync(temporary, { recursive: true, force: true }));

function meshFile(content: string): { cwd: string } {
  writeFileSync(join(folder, "mesh.yaml"), content);
  return { cwd: folder };
}

const readme = `
services:
  files: { command: python3 -m http.server $PORT --bind 127.0.0.1 }
  client: { command: curl -sS http://files/, calls: [files] }
`;

test("a file server and curl, as in the README; Ctrl-C ends both with 0", async () => {
  const mesh = launch(["up"], meshFile(readme));
  await until("curl has its answer", () => mesh.lines.some((line) => /^client +ended with status 0$/.test(line)));
  expect(mesh.lines.some((line) => /^client .*Directory listing for \//.test(line))).toBe(true);
  expect(mesh.lines.some((line) => /^files .*"GET \/ HTTP\/1\.1" 200/.test(line))).toBe(true);
  expect(mesh.lines).toContain("The mesh is up. Ctrl-C ends it.");
  mesh.signal("SIGINT");
  expect(await mesh.finished).toMatchObject({ status: 0, stderr: "" });
  expect(mesh.lines.at(-1)).toBe("stopping");
});

test("--json prints one object a line, and SIGTERM ends it as well", async () => {
  const mesh = launch(["up", "--json"], meshFile(readme));
  await until("it is up and curl has ended", () =>
    ["ready", "exited"].every((kind) => mesh.lines.some((line) => line.includes(`"kind":"${kind}"`))),
  );
  mesh.signal("SIGTERM");
  expect(await mesh.finished).toMatchObject({ status: 0, stderr: "" });
  const events = mesh.lines.map((line) => JSON.parse(line) as { kind: string });
  expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(["log", "output", "started", "exited", "ready", "note"]));
});

describe("what ends a mesh is named", () => {
  test("a program that fails", async () => {
    const line = failure(await run(["up"], meshFile("services:\n  broken: { command: exit 3 }\n")));
    expect(line).toBe("countersign: broken ended with status 3");
  });

  test("a program that cannot be started", async () => {
    const line = failure(await run(["up"], meshFile("services:\n  broken: { command: [./no-such-program] }\n")));
    expect(line).toContain("broken");
  });

  test("a service that ends before it listens", async () => {
    const line = failure(
      await run(["up"], meshFile("services:\n  a: { command: 'true' }\n  b: { command: curl -sS http://a/, calls: [a] }\n")),
    );
    expect(line).toMatch(/^countersign: a ended with status 0 before it listened on port \d+$/);
  });

  test("a call that is not declared is refused, and curl --fail says so", async () => {
    const outcome = await run(["up"], meshFile(readme.replace("calls: [files]", "").replace("-sS", "-sS --fail")));
    expect(failure(outcome)).toBe("countersign: client ended with status 22");
  });
});

describe("a mesh file that is none is refused before anything runs", () => {
  test.each<[string, string, RegExp]>([
    [
      "a field misspelt",
      "services:\n  a: { comand: 'true' }\n",
      /^countersign: mesh\.yaml:2:\d+: services\.a\.comand: .*did you mean command\?$/,
    ],
    ["a name that is none", "services:\n  A_b: { command: 'true' }\n", /^countersign: mesh\.yaml:2:\d+: services\.A_b/],
    [
      "a port that is none",
      "services:\n  a: { command: 'true', port: web }\n",
      /^countersign: mesh\.yaml:2:\d+: services\.a\.port: expected a whole number/,
    ],
    ["nothing to run", "services: {}\n", /^countersign: mesh\.yaml has no Workload and no services/],
    ["an empty file", "", /^countersign: mesh\.yaml/],
  ])("%s", async (_, content, message) => {
    expect(failure(await run(["up"], meshFile(content)))).toMatch(message);
  });

  test("and one that is not there", async () => {
    expect(failure(await run(["up", "-f", "missing.yaml"], { cwd: folder }))).toContain("missing.yaml");
  });
});

test("the control plane's data stays where --data says, and a second start goes on with it", async () => {
  const options = meshFile("services:\n  once: { command: 'true' }\n");
  const data = join(folder, "data");
  for (let round = 0; round < 2; round++) {
    const mesh = launch(["up", "--data", data], options);
    await until("it is up", () => mesh.lines.includes("The mesh is up. Ctrl-C ends it."));
    const resources = await run(["get", "workloads", "--socket", join(data, "admin.sock")]);
    expect(resources.stdout).toContain("once");
    mesh.signal("SIGINT");
    expect(await mesh.finished).toMatchObject({ status: 0 });
  }
});

test("nothing is left behind in the temporary folder", async () => {
  mkdirSync(temporary);
  const mesh = launch(["up"], { ...meshFile("services:\n  once: { command: 'true' }\n"), environment: { TMPDIR: temporary } });
  await until("it is up", () => mesh.lines.includes("The mesh is up. Ctrl-C ends it."));
  expect(readdirSync(temporary)).toHaveLength(1);
  mesh.signal("SIGINT");
  expect(await mesh.finished).toMatchObject({ status: 0 });
  expect(readdirSync(temporary)).toEqual([]);
});
