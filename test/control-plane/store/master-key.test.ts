import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StoreError } from "../../../control-plane/store/error.ts";
import { openSealer } from "../../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import type { Store } from "../../../control-plane/store/store.ts";

const failsWith = (code: StoreError["code"]) => expect.objectContaining({ name: "StoreError", code });

describe("the master key", () => {
  let folder: string;
  let path: string;
  let store: Store;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "countersign-key-"));
    path = join(folder, "keys/master.key");
    store = openSqliteStore({ path: join(folder, "store.sqlite") });
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  test("is made where there is neither key nor data, for the owner alone, and is the same ever after", async () => {
    const sealed = (await openSealer(store, path)).seal("a", Buffer.from("secret"));
    const key = readFileSync(path, "utf8");
    expect(Buffer.from(key, "base64")).toHaveLength(32);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, "keys"))).toEqual(["master.key"]);
    expect((await openSealer(store, path)).unseal("a", sealed).toString()).toBe("secret");
    expect(readFileSync(path, "utf8")).toBe(key);
  });

  test.each([
    ["base64", (key: Buffer) => key.toString("base64")],
    ["hexadecimal", (key: Buffer) => key.toString("hex")],
    ["upper-case hexadecimal and a line feed", (key: Buffer) => `${key.toString("hex").toUpperCase()}\n`],
  ])("given beforehand in %s, is used and not rewritten", async (_, encode) => {
    path = join(folder, "given.key");
    const text = encode(Buffer.alloc(32, 0xab));
    writeFileSync(path, text);
    const { keyId } = await openSealer(store, path);
    writeFileSync(path, Buffer.alloc(32, 0xab).toString("base64"));
    expect((await openSealer(store, path)).keyId).toBe(keyId);
  });

  test.each(["", "short", Buffer.alloc(31).toString("base64"), Buffer.alloc(33).toString("hex"), "z".repeat(64), `${"A".repeat(43)}!`])(
    "%j is refused and kept",
    async (text) => {
      path = join(folder, "bad.key");
      writeFileSync(path, text);
      await expect(openSealer(store, path)).rejects.toThrow(failsWith("master-key-malformed"));
      expect(readFileSync(path, "utf8")).toBe(text);
    },
  );

  test("another one than the data's is found at once, and nothing is overwritten", async () => {
    await openSealer(store, path);
    const before = await store.list("");
    const other = Buffer.alloc(32, 7).toString("base64");
    writeFileSync(path, other);
    await expect(openSealer(store, path)).rejects.toThrow(failsWith("wrong-master-key"));
    await expect(openSealer(store, path)).rejects.toThrow(path);
    expect(await store.list("")).toEqual(before);
    expect(readFileSync(path, "utf8")).toBe(other);
  });

  test("a lost one is not replaced where there is data", async () => {
    await openSealer(store, path);
    rmSync(path);
    await expect(openSealer(store, path)).rejects.toThrow(failsWith("master-key-missing"));
    expect(readdirSync(join(folder, "keys"))).toEqual([]);
  });

  test("one that cannot be read or made is refused", async () => {
    await expect(openSealer(store, folder)).rejects.toThrow(failsWith("master-key-missing"));
    writeFileSync(join(folder, "file"), "");
    await expect(openSealer(store, join(folder, "file/master.key"))).rejects.toThrow(failsWith("master-key-missing"));
    await expect(openSealer(store, "/proc/countersign/master.key")).rejects.toThrow(failsWith("store-unwritable"));
  });
});
