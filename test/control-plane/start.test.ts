/** Errors at the start: one clear line, and nothing overwritten. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { ConfigError } from "../../common/runtime/environment.ts";
import { runControlPlane } from "../../control-plane/main.ts";
import { createFolder, startPlane, stopPlanes } from "./plane.ts";

afterEach(stopPlanes);

const failure = async (environment: Record<string, string>): Promise<{ code?: string; message: string }> => {
  const quiet = { log: { write: () => undefined } };
  const ports = { COUNTERSIGN_GRPC: "127.0.0.1:0", COUNTERSIGN_METRICS: "127.0.0.1:0" };
  const error = await runControlPlane({ ...ports, ...environment }, AbortSignal.timeout(10_000), quiet).then(
    () => new Error("it started"),
    (caught: unknown) => caught as Error & { code?: string },
  );
  if (!(error instanceof ConfigError)) expect(error.message).not.toContain("\n");
  return error;
};

const digest = (folder: string) =>
  readdirSync(folder)
    // What the database engine keeps while it looks is no data.
    .filter((name) => !name.endsWith(".sock") && !name.endsWith("-shm"))
    .sort()
    .map(
      (name) =>
        `${name} ${createHash("sha256")
          .update(readFileSync(join(folder, name)))
          .digest("hex")}`,
    );

test("every bad variable is named before anything is made", async () => {
  const folder = join(createFolder(), "data");
  const error = await failure({
    COUNTERSIGN_DATA: folder,
    COUNTERSIGN_GRPC: "nowhere",
    COUNTERSIGN_TRUST_DOMAIN: "Prod",
    COUNTERSIGN_DTA: "x",
  });
  expect(error.message.split("\n")).toEqual([
    'COUNTERSIGN_GRPC: expected host:port, found "nowhere"',
    'COUNTERSIGN_TRUST_DOMAIN: expected a trust domain such as prod.example, found "Prod"',
    "COUNTERSIGN_DTA: not a variable of this program; did you mean COUNTERSIGN_DATA?",
  ]);
  expect(statSync(folder, { throwIfNoEntry: false })).toBeUndefined();
});

test("a first start without a trust domain, and a later one with another", async () => {
  const folder = createFolder();
  expect((await failure({ COUNTERSIGN_DATA: folder })).message).toContain("COUNTERSIGN_TRUST_DOMAIN");
  const plane = await startPlane({ folder });
  await plane.stop();
  const before = digest(folder);
  const error = await failure({ COUNTERSIGN_DATA: folder, COUNTERSIGN_TRUST_DOMAIN: "other.example" });
  expect(error.message).toBe("COUNTERSIGN_TRUST_DOMAIN: the data folder is that of trust domain prod.example, not of other.example");
  expect(digest(folder)).toEqual(before);
});

test("a port that is taken", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const base = { COUNTERSIGN_TRUST_DOMAIN: "prod.example" };
  for (const variable of ["COUNTERSIGN_GRPC", "COUNTERSIGN_METRICS"]) {
    const error = await failure({ ...base, COUNTERSIGN_DATA: createFolder(), [variable]: taken });
    expect(error).toMatchObject({ code: "address-in-use", message: `${taken} is in use by another program` });
  }
  server.close();
});

test("a data folder that cannot be written", async () => {
  const file = join(createFolder(), "file");
  writeFileSync(file, "");
  const error = await failure({ COUNTERSIGN_DATA: join(file, "data"), COUNTERSIGN_TRUST_DOMAIN: "prod.example" });
  expect(error.code).toBe("store-unwritable");
});

test("a second control plane on the same folder", async () => {
  const plane = await startPlane();
  const error = await failure({ COUNTERSIGN_DATA: plane.folder, COUNTERSIGN_TRUST_DOMAIN: "prod.example" });
  expect(error.code).toBe("store-locked");
});

test("a database that is none", async () => {
  const folder = createFolder();
  writeFileSync(join(folder, "countersign.db"), "not a database at all, but long enough to be looked at".repeat(100));
  const before = digest(folder);
  const error = await failure({ COUNTERSIGN_DATA: folder, COUNTERSIGN_TRUST_DOMAIN: "prod.example" });
  expect(error.code).toBe("store-corrupt");
  expect(digest(folder)).toEqual(before);
});

test("a master key that is missing or another", async () => {
  const folder = createFolder();
  await (await startPlane({ folder })).stop();
  const key = join(folder, "master.key");
  const right = readFileSync(key);
  writeFileSync(key, Buffer.alloc(32, 7).toString("base64"));
  const before = digest(folder);
  expect((await failure({ COUNTERSIGN_DATA: folder })).code).toBe("wrong-master-key");
  expect(digest(folder)).toEqual(before);
  rmSync(key);
  expect((await failure({ COUNTERSIGN_DATA: folder })).code).toBe("master-key-missing");
  expect(statSync(key, { throwIfNoEntry: false })).toBeUndefined();
  writeFileSync(key, right);
  await expect(startPlane({ folder })).resolves.toMatchObject({ folder });
});

test("an admin socket whose place is taken or whose path is too long", async () => {
  const base = { COUNTERSIGN_TRUST_DOMAIN: "prod.example" };
  const file = join(createFolder(), "mine");
  writeFileSync(file, "precious");
  const taken = await failure({ ...base, COUNTERSIGN_DATA: createFolder(), COUNTERSIGN_ADMIN_SOCKET: file });
  expect(taken).toMatchObject({ code: "address-in-use", message: `${file} exists and is not a socket` });
  expect(readFileSync(file, "utf8")).toBe("precious");
  const plane = await startPlane();
  const used = await failure({ ...base, COUNTERSIGN_DATA: createFolder(), COUNTERSIGN_ADMIN_SOCKET: plane.ready.adminSocket });
  expect(used.code).toBe("address-in-use");
  const folder = createFolder();
  mkdirSync(join(folder, "x".repeat(120)));
  const long = await failure({ ...base, COUNTERSIGN_DATA: folder, COUNTERSIGN_ADMIN_SOCKET: join(folder, "x".repeat(120), "s") });
  expect(long.code).toBe("address-refused");
});

test("what is secret is for its owner only, and readiness is answered", async () => {
  const plane = await startPlane();
  const mode = (name: string) => statSync(join(plane.folder, name)).mode & 0o777;
  expect([mode("admin.sock"), mode("master.key"), mode("countersign.db"), mode("bundle.pem")]).toEqual([0o600, 0o600, 0o600, 0o644]);
  const get = async (path: string, method = "GET") => {
    const { status } = await fetch(`http://${plane.ready.metrics}${path}`, { method });
    return status;
  };
  expect([await get("/healthz"), await get("/readyz"), await get("/metrics"), await get("/else"), await get("/metrics", "POST")]).toEqual([
    200, 200, 200, 404, 405,
  ]);
});
