/** `countersign up --transparent`: programs that were told nothing at all, each in a namespace of its own. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isLeftover, ownPrefix } from "../../../cli/up/owner.ts";
import { readableCheckout } from "../../mesh/checkout.ts";
import { withoutNamespaces } from "../../mesh/namespaces.ts";
import { failure, launch, run, type Running, type RunOptions } from "../run.ts";

const missing = withoutNamespaces();
const because = missing === undefined ? "" : ` (${missing})`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "countersign-up-"));
  // Programs are other users.
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const countersign = () => join(readableCheckout(), "bin/countersign");

function meshFile(content: string): RunOptions {
  const file = join(folder, "mesh.yaml");
  writeFileSync(file, content);
  chmodSync(file, 0o644);
  return { cwd: folder, program: countersign() };
}

/** What there is on this machine by the names that `up` gives; others may have theirs at the same time. */
function things({ pid }: Running): string[] {
  const names = ["/run/netns", "/etc/netns", "/run/countersign"].flatMap((folder) => {
    try {
      return readdirSync(folder);
    } catch {
      // The last one to use it took it away.
      return [];
    }
  });
  return [...names, ...Object.keys(networkInterfaces())].filter((name) => name.startsWith(`countersign-${pid}-`) || name === `cs${pid}`);
}

async function until(what: string, mesh: Running, condition: () => boolean): Promise<void> {
  let ended = false;
  void mesh.finished.then(() => (ended = true));
  while (!condition()) {
    if (ended) throw new Error(`it ended before ${what}: ${JSON.stringify(await mesh.finished)}`);
    await mesh.change();
  }
}

const mesh = `
services:
  files: { command: /usr/bin/python3 -m http.server $PORT }
  client:
    command: >-
      curl -sS http://files/ && curl -sS6 http://files.default/ && env | grep -ci _proxy=;
      grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs)' /proc/self/status; cat /etc/hosts; sleep 1000
    calls: [files]
`;

describe.skipIf(missing !== undefined)(`with namespaces${because}`, () => {
  test.each([
    ["redirect", "022"],
    ["tproxy", "077"],
  ])("a call by name, IPv4 and IPv6, and no privileges anywhere: %s, umask %s", async (mode, umask) => {
    const up = [countersign(), "up", "--transparent", mode, "--json"];
    const running = launch(["-c", 'umask "$0"; exec "$@"', umask, ...up], { ...meshFile(mesh), program: "/bin/sh" });
    const events = () =>
      running.lines.map((line) => JSON.parse(line) as { kind: string; process: string; line: string; pid: number; places: object });
    const said = (process: string) =>
      events().flatMap((event) => (event.kind === "output" && event.process === process ? [event.line] : []));
    await until("the client has said all", running, () => said("client").some((line) => line.includes("files.default.svc")));
    expect(said("client").filter((line) => line.includes("Directory listing"))).toHaveLength(4);
    expect(said("client")).toContain("0");
    const status = said("client").map((line) => line.replaceAll(/\s+/g, " "));
    expect(status).toContain("Uid: 65534 65534 65534 65534");
    expect(status).toContain("CapEff: 0000000000000000");
    expect(status).toContain("CapBnd: 0000000000000000");
    expect(status).toContain("NoNewPrivs: 1");
    const sidecar = events().find((event) => event.kind === "started" && event.process === "files-sidecar");
    const proc = readFileSync(`/proc/${sidecar?.pid}/status`, "utf8").replaceAll("\t", " ");
    expect(proc).toContain("Uid: 1337 1337 1337 1337");
    expect(proc).toContain("CapEff: 0000000000000000");
    expect(proc).toContain("NoNewPrivs: 1");
    expect(things(running)).not.toEqual([]);
    running.signal("SIGINT");
    expect(await running.finished).toMatchObject({ status: 0, stderr: "" });
    expect(things(running)).toEqual([]);
  });

  test("a program that fails, and one that never listens, leave nothing behind", async () => {
    const failed = launch(["up", "--transparent"], meshFile("services:\n  broken: { command: exit 3 }\n"));
    expect(failure(await failed.finished)).toBe("countersign: broken ended with status 3");
    const silent = launch(["up", "--transparent"], meshFile("services:\n  silent: { command: 'true', port: 80 }\n"));
    expect(failure(await silent.finished)).toBe("countersign: silent ended with status 0 before it listened on port 80");
    expect([...things(failed), ...things(silent)]).toEqual([]);
  });

  test("stopped before it is up, it leaves nothing behind either", async () => {
    const running = launch(["up", "--transparent"], meshFile(mesh));
    await until("the control plane is ready", running, () => running.lines.some((line) => /^control-plane +ready$/.test(line)));
    expect(things(running)).not.toEqual([]);
    running.signal("SIGTERM");
    await running.finished;
    expect(things(running)).toEqual([]);
  });

  test("what a killed one leaves behind goes with the next start", async () => {
    const killed = launch(["up", "--transparent"], meshFile(mesh));
    await until("it is up", killed, () => killed.lines.includes("The mesh is up. Ctrl-C ends it."));
    expect(things(killed)).not.toEqual([]);
    killed.signal("SIGKILL");
    await killed.closed;
    const next = launch(["up", "--transparent"], meshFile("services:\n  once: { command: 'true' }\n"));
    await until("it is up", next, () => next.lines.includes("The mesh is up. Ctrl-C ends it."));
    expect(things(killed)).toEqual([]);
    next.signal("SIGINT");
    expect(await next.finished).toMatchObject({ status: 0 });
    await killed.finished;
    expect(things(next)).toEqual([]);
  });

  test("programs run as the user that is asked for", async () => {
    const running = launch(["up", "--transparent", "--app-user", "4321:8765"], meshFile("services:\n  who: { command: id }\n"));
    await until("it has said so", running, () => running.lines.some((line) => line.includes("uid=4321 gid=8765 groups=8765")));
    running.signal("SIGINT");
    expect(await running.finished).toMatchObject({ status: 0 });
  });

  test.each<[string, string[], string]>([
    ["the sidecars' user", ["--app-user", "1337"], "user 1337 is the sidecars': programs that run as it are not in the mesh"],
    ["a user that is none", ["--app-user", "no-such-user"], '--app-user: there is no user "no-such-user"'],
    ["root for the sidecars", ["--proxy-uid", "0"], "a sidecar does not run as root"],
    ["a mode that is none", [], '--transparent: expected redirect or tproxy, found "magic"'],
  ])("%s is refused", async (_, args, message) => {
    const transparent = args.length === 0 ? ["--transparent", "magic"] : ["--transparent"];
    expect(failure(await run(["up", ...transparent, ...args], meshFile(mesh)))).toBe(`countersign: ${message}`);
  });

  test("without root, that is said", async () => {
    const args = ["--reuid=65534", "--clear-groups", "--bounding-set=-all", "--", countersign(), "up", "--transparent"];
    const outcome = await run(args, { ...meshFile(mesh), program: "setpriv" });
    expect(failure(outcome)).toBe("countersign: making network namespaces takes root: try sudo");
  });
});

test("the names of what belongs to a living process say so", () => {
  expect(isLeftover(`${ownPrefix()}hub`)).toBe(false);
  expect(isLeftover(`countersign-${process.pid}-1-hub`)).toBe(true);
  expect(isLeftover("countersign-4194305-1-hub")).toBe(true);
  expect(isLeftover("somebody-elses")).toBe(false);
});
