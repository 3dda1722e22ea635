/** How a workload comes by its certificate, and keeps it: by a join token, and by a pod's token, in files as a kubelet makes them. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogging } from "../../../common/runtime/logger.ts";
import { createProof, createTrustAnchor } from "../../../sidecar/sync/proof.ts";
import { attest, renewForever, type SvidOptions } from "../../../sidecar/sync/svid.ts";
import { createShiftedClock, type ShiftedClock } from "../../fakes/shifted-clock.ts";
import { until, type LogLine } from "../../mesh/harness.ts";
import { createIssuingPlane, trustDomain, type IssuingPlane } from "./issuing-plane.ts";

const minute = 60_000;
const id = "spiffe://test.example/ns/shop/sa/cart";

let plane: IssuingPlane;
let clock: ShiftedClock;
let folder: string;
let logs: LogLine[];
let stop: AbortController;
beforeEach(async () => {
  // Certificates issued over the next hour are valid for OpenSSL too, which has the real clock.
  clock = createShiftedClock(-60 * minute);
  plane = await createIssuingPlane(clock);
  folder = mkdtempSync(join(tmpdir(), "countersign-pod-"));
  logs = [];
  stop = new AbortController();
});
afterEach(async () => {
  stop.abort();
  await plane[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

let generation = 0;
/** As a kubelet fills a volume: a folder of its own for each generation, and one link that is put in place of another. */
function mount(files: Readonly<Record<string, string>>): void {
  const made = join(folder, `..${++generation}`);
  mkdirSync(made);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(made, name), content);
    rmSync(join(folder, name), { force: true });
    symlinkSync(join("..data", name), join(folder, name));
  }
  symlinkSync(`..${generation}`, join(folder, "..next"));
  renameSync(join(folder, "..next"), join(folder, "..data"));
}

const file = (name: string) => join(folder, name);

function optionsOf(proof: SvidOptions["proof"]): SvidOptions {
  const { logger } = createLogging({
    name: "test",
    level: "info",
    destination: { write: (line) => void logs.push(JSON.parse(line) as LogLine) },
  });
  return {
    anchor: createTrustAnchor({ address: plane.address, trustDomain: { file: file("trustDomain") }, bundle: file("bundle.pem") }),
    proof,
    clock,
    // Waits are as short as they may be.
    random: () => 0.01,
    log: logger,
  };
}

const podProof = () => createProof({ kubernetesTokenFile: file("token") });
const complete = () => ({ "bundle.pem": plane.bundle, trustDomain: `${trustDomain}\n`, token: "first\n" });

describe("the first certificate of a pod", () => {
  test("files are waited for, one after the other, whatever is wrong with them", async () => {
    const problems: string[] = [];
    const attested = attest(optionsOf(podProof()), (problem) => problems.push((problem as Error).message), stop.signal);
    const says = (problem: string) => until(problem, () => problems.at(-1)?.includes(problem));
    await says(`the trust bundle cannot be read from ${file("bundle.pem")}: there is no such file`);
    mount({ "bundle.pem": "" });
    await says(`${file("bundle.pem")} holds no trust bundle`);
    mount({ "bundle.pem": plane.bundle });
    await says(`the trust domain cannot be read from ${file("trustDomain")}`);
    mount({ ...complete(), trustDomain: "Not A Domain", token: "" });
    await says(`${file("trustDomain")} holds no trust domain`);
    mount({ ...complete(), token: "" });
    await says(`${file("token")} holds no service-account token: it is empty`);
    mount(complete());
    expect((await attested).identity).toMatchObject({ spiffeId: id });
    expect((await attested).target).toMatchObject({ trustDomain, address: plane.address });
    expect(plane.asked).toEqual(["kubernetes first"]);
  });

  test("a refusal is not the end: the control plane may come to know of the pod, and the token is read anew", async () => {
    mount(complete());
    plane.setAnswer(undefined);
    const attested = attest(optionsOf(podProof()), () => undefined, stop.signal);
    await until("it was refused several times", () => plane.asked.length >= 5);
    expect(logs).toEqual([expect.objectContaining({ msg: "the control plane refuses to issue a certificate, trying again" })]);
    mount({ ...complete(), token: "second" });
    await until("the new token is shown", () => plane.asked.at(-1) === "kubernetes second");
    plane.setAnswer(id);
    expect((await attested).identity.spiffeId).toBe(id);
  });

  test("a control plane that is not there yet is waited for, and logged now and then", async () => {
    mount(complete());
    plane.close();
    let problems = 0;
    const attested = attest(optionsOf(podProof()), () => problems++, stop.signal);
    await until("it has tried often", () => problems >= 5);
    expect(new Set(logs.map(({ msg }) => msg))).toEqual(new Set(["no certificate yet, trying again"]));
    const before = logs.length;
    expect(before).toBeLessThan(problems);
    clock.advance(2 * minute);
    await until("it says so again", () => logs.length > before);
    await plane.open();
    expect((await attested).identity.spiffeId).toBe(id);
  });

  test("to be told to stop is the end", async () => {
    const attested = attest(optionsOf(podProof()), () => undefined, stop.signal);
    stop.abort(new Error("told to stop"));
    await expect(attested).rejects.toThrow("told to stop");
  });
});

describe("with a join token", () => {
  test("a refusal is the end", async () => {
    mount(complete());
    plane.setAnswer(undefined);
    const attested = attest(optionsOf(createProof({ joinToken: "once" })), () => undefined, stop.signal);
    await expect(attested).rejects.toThrow("the control plane refused to issue a certificate");
    expect(plane.asked).toEqual(["joinToken once"]);
  });

  test("a trust bundle that is not there is the end", async () => {
    const attested = attest(optionsOf(createProof({ joinToken: "once" })), () => undefined, stop.signal);
    await expect(attested).rejects.toMatchObject({ code: "unreadable" });
  });
});

describe("after an outage longer than the certificate's life", () => {
  async function outlive(proof: SvidOptions["proof"]) {
    mount(complete());
    const options = optionsOf(proof);
    const { identity, target } = await attest(options, () => undefined, stop.signal);
    let current = identity;
    const state = { renewals: 0, failures: 0, current: () => current };
    const renewing = renewForever(
      options,
      state.current,
      target,
      {
        onRenewed(next) {
          current = next;
          state.renewals++;
        },
        onFailure: () => state.failures++,
      },
      stop.signal,
    );
    renewing.catch(() => undefined);
    plane.close();
    clock.advance(3 * minute);
    await until("renewals fail", () => state.failures > 0);
    clock.advance(10 * minute);
    mount({ ...complete(), token: "later" });
    return state;
  }

  test("a pod is attested anew, by the token of the day", async () => {
    const state = await outlive(podProof());
    const ended = state.current().notAfter;
    expect(ended).toBeLessThan(clock.now());
    await plane.open();
    await until("it has a certificate again", () => state.renewals > 0);
    expect(plane.asked).toEqual(["kubernetes first", "kubernetes later"]);
    expect(state.current().spiffeId).toBe(id);
    expect(state.current().notAfter).toBeGreaterThan(clock.now());
    // From then on it renews as ever.
    clock.advance(3 * minute);
    await until("it is renewed", () => state.renewals > 1);
    expect(plane.asked.at(-1)).toBe("svid");
  });

  test("a certificate for another identity is not taken", async () => {
    const state = await outlive(podProof());
    plane.setAnswer("spiffe://test.example/ns/shop/sa/other");
    await plane.open();
    const { failures } = state;
    await until("it is refused", () => state.failures > failures + 1);
    expect(logs.at(-1)).toMatchObject({
      err: { message: `the certificate issued is for spiffe://test.example/ns/shop/sa/other, not for ${id}` },
    });
    expect(state.renewals).toBe(0);
  });

  test("a join token is not shown again", async () => {
    await outlive(createProof({ joinToken: "once" }));
    await plane.open();
    await until("it asks", () => plane.asked.length > 1);
    expect(plane.asked.slice(0, 2)).toEqual(["joinToken once", "svid"]);
  });
});
