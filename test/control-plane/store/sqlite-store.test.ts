import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StoreError } from "../../../control-plane/store/error.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import type { Store } from "../../../control-plane/store/store.ts";
import { describeStore } from "./contract.ts";

const failsWith = (code: StoreError["code"]) => expect.objectContaining({ name: "StoreError", code });
const newFolder = () => mkdtempSync(join(tmpdir(), "countersign-store-"));

describeStore("SQLite", async ({ keptRevisions }) => {
  const folder = newFolder();
  const path = join(folder, "store.sqlite");
  let now = 0;
  const open = () => openSqliteStore({ path, keptRevisions, monotonicNow: () => now });
  let store = open();
  return {
    store,
    async reopen() {
      await store.close();
      store = open();
      return store;
    },
    async advance(milliseconds) {
      now += milliseconds;
    },
    async dispose() {
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
});

describe("the file of a SQLite store", () => {
  let folder: string;
  let path: string;
  const opened: Store[] = [];
  const open = () => {
    const store = openSqliteStore({ path });
    opened.push(store);
    return store;
  };
  const contentOf = () => readFileSync(path).toString("base64");

  beforeEach(() => {
    folder = newFolder();
    path = join(folder, "store.sqlite");
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
    rmSync(folder, { recursive: true });
  });

  async function fill(store: Store): Promise<void> {
    for (const half of ["a", "b"]) {
      await store.commit(
        Array.from({ length: 100 }, (_, index) => ({ kind: "put", key: `${half}/${index}`, value: Buffer.alloc(300, index) })),
      );
    }
  }

  async function filled(): Promise<void> {
    const store = open();
    await fill(store);
    await store.close();
  }

  test("is made with its folder, for the owner alone, and leaves nothing beside it once closed", async () => {
    path = join(folder, "deep/er/store.sqlite");
    await filled();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "deep")).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(folder, "deep/er"))).toEqual(["store.sqlite"]);
  });

  test("a second opening is refused while the first lasts", async () => {
    await open().put("a", Buffer.from("1"));
    expect(open).toThrow(failsWith("store-locked"));
    expect(open).toThrow(/store\.sqlite is in use by another process/);
  });

  test.each([
    ["random octets", () => writeFileSync(path, Buffer.alloc(8192, "not a database"))],
    ["an empty file", () => writeFileSync(path, "")],
    ["a page overwritten", () => scribble(4096 * 2, 4096)],
    ["an index overwritten", () => scribble(4096 * 6, 2048)],
    ["the header overwritten", () => scribble(0, 100)],
    ["half of it cut off", () => truncateSync(path, Math.floor(statSync(path).size / 8192) * 4096)],
    ["another program's database", () => foreign()],
  ])("%s: refused by name, and not touched", async (_, spoil) => {
    await filled();
    spoil();
    const before = contentOf();
    expect(open).toThrow(failsWith("store-corrupt"));
    expect(open).toThrow(path);
    expect(contentOf()).toEqual(before);
  });

  function scribble(offset: number, length: number): void {
    const content = readFileSync(path);
    content.fill(0xa5, offset, offset + length);
    writeFileSync(path, content);
  }

  function foreign(): void {
    rmSync(path);
    const database = new DatabaseSync(path);
    database.exec("CREATE TABLE t (a)");
    database.close();
  }

  test("a newer schema is refused and not touched", async () => {
    await filled();
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 2");
    database.close();
    const before = contentOf();
    expect(open).toThrow(failsWith("store-newer-schema"));
    expect(contentOf()).toEqual(before);
  });

  test("a folder that is a file is refused", () => {
    writeFileSync(join(folder, "file"), "");
    path = join(folder, "file/store.sqlite");
    expect(open).toThrow(failsWith("store-unwritable"));
  });

  const opener = (then: string) => `
    import { openSqliteStore } from ${JSON.stringify(join(process.cwd(), "control-plane/store/sqlite-store.ts"))};
    try {
      const store = openSqliteStore({ path: ${JSON.stringify(path)} });
      ${then}
    } catch (error) {
      console.log(error.code);
      process.exit(1);
    }`;
  /** A program of its own, in whose file system rights and memory this test has no part. */
  const start = (then: string, uid?: number) =>
    spawn(process.execPath, ["--input-type=module", "-e", opener(then)], {
      stdio: ["pipe", "pipe", "inherit"],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });

  test.runIf(process.getuid?.() === 0)("a folder or file without the right to write is refused", async () => {
    const nobody = 65_534;
    const lineOf = async () => (await once(createInterface(start("console.log('opened')", nobody).stdout), "line"))[0] as string;
    chmodSync(folder, 0o755);
    expect(await lineOf()).toBe("store-unwritable");
    await filled();
    chmodSync(path, 0o644);
    expect(await lineOf()).toBe("store-unwritable");
  });

  test("another process is kept out, and let in when the first is killed, with every commit there", async () => {
    const child = start(`
      for (let index = 0; ; index++) {
        await store.commit([{ kind: "put", key: "a", value: Buffer.from(String(index)) }, { kind: "put", key: "b", value: Buffer.from(String(index)) }]);
        console.log(index);
      }`);
    const exited = once(child, "exit");
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    await lines.next();
    expect(open).toThrow(failsWith("store-locked"));
    for (let line = 0; line < 50; line++) await lines.next();
    child.kill("SIGKILL");
    let acknowledged = -1;
    for await (const line of lines) acknowledged = Number(line);
    await exited;
    expect(acknowledged).toBeGreaterThanOrEqual(50);
    const store = open();
    const [a, b] = [await store.get("a"), await store.get("b")];
    expect(a!.revision).toBe(b!.revision);
    expect(Buffer.from(a!.value)).toEqual(Buffer.from(b!.value));
    expect(Number(Buffer.from(a!.value).toString())).toBeGreaterThanOrEqual(acknowledged);
  });

  test("a corrupt file beside its write-ahead log is refused, and neither is touched", async () => {
    const store = open();
    await fill(store);
    const copy = newFolder();
    try {
      for (const name of readdirSync(folder)) copyFileSync(join(folder, name), join(copy, name));
      const log = join(copy, "store.sqlite-wal");
      expect(statSync(log).size).toBeGreaterThan(0);
      writeFileSync(join(copy, "store.sqlite"), Buffer.alloc(16_384, "spoilt"));
      const before = [readFileSync(join(copy, "store.sqlite")), readFileSync(log)];
      expect(() => openSqliteStore({ path: join(copy, "store.sqlite") })).toThrow(failsWith("store-corrupt"));
      expect([readFileSync(join(copy, "store.sqlite")), readFileSync(log)]).toEqual(before);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  test("a full disk fails the commit whole, keeps what was, and heals when there is room", async (context) => {
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
    context.skip(mounted.status !== 0, "a small file system cannot be mounted here");
    try {
      const store = open();
      const ballast = join(folder, "ballast");
      await store.put("kept", Buffer.from("1"));
      writeFileSync(ballast, Buffer.alloc(700_000));
      const big = store.commit([
        { kind: "put", key: "kept", value: Buffer.from("2") },
        { kind: "put", key: "big", value: Buffer.alloc(600_000) },
      ]);
      await expect(big).rejects.toThrow(failsWith("store-full"));
      expect(Buffer.from((await store.get("kept"))!.value).toString()).toBe("1");
      rmSync(ballast);
      await store.put("kept", Buffer.from("3"));
      await store.close();
      expect(Buffer.from((await open().get("kept"))!.value).toString()).toBe("3");
    } finally {
      for (const store of opened.splice(0)) await store.close();
      spawnSync("umount", [folder]);
    }
  });
});
