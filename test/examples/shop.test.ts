/** `npm start`, as somebody who has just cloned the project runs it. */
import { tmpdir } from "node:os";
import { request } from "undici";
import { describe, expect, test } from "vitest";
import { join } from "node:path";
import { launch, run } from "../cli/run.ts";
import { until } from "../mesh/harness.ts";

const root = join(import.meta.dirname, "../..");
const npm = (args: string[]) => run(["start", "--silent", "--", ...args], { cwd: root, program: "npm", environment: { HOME: tmpdir() } });

interface Entry {
  readonly type: string;
  readonly name?: string;
  readonly ok?: boolean;
  readonly decision?: string;
  readonly reason?: string;
  readonly caller?: string;
  readonly session?: string;
  readonly action?: string;
  readonly addedMs?: number;
  readonly passed?: number;
  readonly failed?: number;
  readonly url?: string;
  readonly of?: string;
}

const refusals = [
  ["a call that the role does not allow", "no-allow"],
  ["no signature", "missing-signature"],
  ["a stolen session, used by another workload", "identity-mismatch"],
  ["the same signed bytes a second time", "replayed"],
  ["a body altered after signing", "body-mismatch"],
  ["signed ten minutes ago", "request-expired"],
] as const;

test("--once --json: every call gets what it should, one object a line, and 0", async () => {
  const { status, stdout, stderr } = await npm(["--once", "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const entries = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Entry);
  const calls = entries.filter(({ type }) => type === "call");
  expect(calls.map(({ ok }) => ok)).toEqual(calls.map(() => true));
  expect(entries.find(({ type }) => type === "summary")).toMatchObject({ passed: calls.length, failed: 0 });
  expect(
    entries
      .filter(({ type }) => type === "certificate")
      .map((entry) => (entry as unknown as { workload: string }).workload)
      .toSorted(),
  ).toEqual(["inventory", "orders", "storefront"]);
  expect(entries.filter(({ type }) => type === "session").length).toBeGreaterThan(0);
  expect(entries.filter(({ type }) => type === "problem")).toEqual([]);
  for (const [name, reason] of refusals) expect(calls.find((call) => call.name === name)).toMatchObject({ decision: "deny", reason });
  for (const name of ["plaintext, straight to the inbound port", "a certificate of another authority"]) {
    expect(calls.find((call) => call.name === name)).toMatchObject({ decision: "refused" });
  }
  const allowed = calls.filter(({ decision }) => decision === "allow");
  expect(allowed.map(({ action }) => action)).toEqual([
    "orders:GetOrder",
    "inventory:GetItem",
    "orders:PlaceOrder",
    "inventory:ReserveItem",
  ]);
  for (const call of allowed) {
    expect(call.caller).toMatch(/^spiffe:\/\/shop\.example\/ns\/shop\/sa\//);
    expect(call.session).toMatch(/^arn:mesh:sts:shop\.example:shop:assumed-role\/service-linked\//);
    expect(call.addedMs).toBeGreaterThan(0);
  }
});

test("--once is a story for people, and 0", async () => {
  const { status, stdout, stderr } = await npm(["--once"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("13 of 13 calls got what they should.");
  for (const [name, reason] of refusals) {
    expect(stdout).toContain(name);
    expect(stdout).toContain(reason);
  }
});

describe("without --once", () => {
  test("it stays up, its addresses answer, and Ctrl-C ends it with 0", async () => {
    const shop = launch(["examples/shop/start.ts", "--json"], { cwd: root, program: join(root, "bin/node26") });
    const addresses = await until("its addresses are told", () => {
      const found = shop.lines.map((line) => JSON.parse(line) as Entry).filter(({ type }) => type === "address");
      return found.length === 10 ? found : undefined;
    });
    for (const { name, url = "" } of addresses) {
      if (name === "outbound") continue;
      const response = await request(url);
      expect(response.statusCode).toBe(200);
      expect(await response.body.text()).toContain(name === "metrics" ? "# TYPE " : '"paths"');
    }
    const outbound = addresses.find(({ name, of }) => name === "outbound" && of === "shop/storefront")?.url ?? "";
    const response = await request(`${outbound}/orders/1`, { headers: { host: "orders" } });
    expect(response.statusCode).toBe(200);
    await response.body.dump();
    shop.signal("SIGINT");
    expect(await shop.finished).toMatchObject({ status: 0, stderr: "" });
  });

  test("--help, and an option that is none", async () => {
    const start = (args: string[]) => run(["examples/shop/start.ts", ...args], { cwd: root, program: join(root, "bin/node26") });
    expect(await start(["--help"])).toMatchObject({ status: 0, stderr: "", stdout: expect.stringContaining("--once") as string });
    expect(await start(["--onec"])).toMatchObject({ status: 1, stdout: "", stderr: expect.stringContaining("--onec") as string });
  });
});
