/** A control plane that cannot start says why in one line, ends with 1, and leaves every file as it was. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runControlPlane } from "../../control-plane/main.ts";
import { failure, run } from "./run.ts";

let folder: string;
/** Data of a control plane that began, and ended well. */
let good: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "countersign-start-"));
  good = join(folder, "good");
  const controller = new AbortController();
  const environment = { ...environmentOf(good), COUNTERSIGN_LOG_LEVEL: "silent" };
  await runControlPlane(environment, controller.signal, { onReady: () => controller.abort(new Error("enough")) });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function environmentOf(data: string): Record<string, string> {
  return {
    COUNTERSIGN_DATA: data,
    COUNTERSIGN_TRUST_DOMAIN: "test.example",
    COUNTERSIGN_GRPC: "127.0.0.1:0",
    COUNTERSIGN_METRICS: "127.0.0.1:0",
  };
}

/** Content of every file, by name. What is beside them afterwards, SQLite's own files for readers, says nothing. */
function contents(data: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(data)
      .filter((name) => statSync(join(data, name)).isFile())
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(data, name)))
          .digest("hex"),
      ]),
  );
}

function copy(name: string): string {
  const data = join(folder, name);
  cpSync(good, data, { recursive: true, filter: (path) => !path.endsWith(".sock") });
  return data;
}

const start = async (environment: Record<string, string>) => failure(await run(["control-plane"], { environment }));

test("a port that is taken", async () => {
  const data = copy("port");
  const before = contents(data);
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const address = `127.0.0.1:${(taken.address() as AddressInfo).port}`;
  for (const name of ["COUNTERSIGN_GRPC", "COUNTERSIGN_METRICS"]) {
    const line = await start({ ...environmentOf(data), [name]: address });
    expect(line).toContain(address);
    expect(line).toContain("in use");
  }
  taken.close();
  expect(contents(data)).toMatchObject({ "master.key": before["master.key"] });
});

test("a data folder that is a file", async () => {
  const data = join(folder, "file");
  writeFileSync(data, "not a folder");
  expect(await start(environmentOf(data))).toContain(data);
  expect(readFileSync(data, "utf8")).toBe("not a folder");
  expect(await start(environmentOf(join(data, "below")))).toContain(data);
});

test.each<[string, Buffer]>([
  ["garbage", randomBytes(8192)],
  ["a text", Buffer.from("this is no database\n".repeat(500))],
  ["nothing", Buffer.alloc(0)],
])("a database that is %s is left alone", async (name, bytes) => {
  const data = copy(`corrupt-${name.replaceAll(" ", "-")}`);
  for (const each of readdirSync(data)) if (each.startsWith("countersign.db-")) rmSync(join(data, each));
  writeFileSync(join(data, "countersign.db"), bytes);
  const before = contents(data);
  const line = await start(environmentOf(data));
  expect(line).toContain("countersign.db");
  expect(line).toMatch(/corrupt|not a store/);
  expect(contents(data)).toMatchObject(before);
});

test("a database with a page overwritten", async () => {
  const data = copy("page");
  const path = join(data, "countersign.db");
  const bytes = readFileSync(path);
  randomBytes(4096).copy(bytes, Math.min(4096, bytes.length - 4096));
  writeFileSync(path, bytes);
  const before = contents(data);
  expect(await start(environmentOf(data))).toMatch(/countersign\.db.*corrupt/);
  expect(contents(data)).toMatchObject(before);
});

test("another master key", async () => {
  const [data, other] = [copy("key"), join(folder, "other-key")];
  const controller = new AbortController();
  await runControlPlane({ ...environmentOf(other), COUNTERSIGN_LOG_LEVEL: "silent" }, controller.signal, {
    onReady: () => controller.abort(new Error("enough")),
  });
  cpSync(join(other, "master.key"), join(data, "master.key"));
  const before = contents(data);
  expect(await start(environmentOf(data))).toMatch(/master key/i);
  expect(contents(data)).toMatchObject(before);
});

test("a master key that is lost is not made anew", async () => {
  const data = copy("lost");
  rmSync(join(data, "master.key"));
  expect(await start(environmentOf(data))).toContain("master.key");
  expect(existsSync(join(data, "master.key"))).toBe(false);
});

test("another trust domain than the data's", async () => {
  const data = copy("domain");
  const line = await start({ ...environmentOf(data), COUNTERSIGN_TRUST_DOMAIN: "other.example" });
  expect(line).toContain("test.example");
  expect(line).toContain("other.example");
});

test("data that another control plane has in use", async () => {
  const data = copy("busy");
  const controller = new AbortController();
  const ready = Promise.withResolvers<void>();
  const running = runControlPlane({ ...environmentOf(data), COUNTERSIGN_LOG_LEVEL: "silent" }, controller.signal, {
    onReady: () => ready.resolve(),
  });
  await ready.promise;
  try {
    expect(await start(environmentOf(data))).toMatch(/in use/);
  } finally {
    controller.abort(new Error("enough"));
    await running;
  }
});
