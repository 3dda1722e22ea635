import { randomBytes } from "node:crypto";
import { assert, integer, property } from "fast-check";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createSealer } from "../../../control-plane/store/sealed.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";
import type { Store } from "../../../control-plane/store/store.ts";
import { createAccessKeyId, epochCharacter, epochCharacterOf, secretAccessKeyOf } from "../../../control-plane/sts/access-key.ts";
import { createEpochs, epochPrefix } from "../../../control-plane/sts/epochs.ts";
import { createFolder, stopPlanes } from "../plane.ts";

afterEach(stopPlanes);

const day = 86_400_000;
const noon = Date.UTC(2026, 0, 15, 12);
const sealer = createSealer(randomBytes(32));
const openStore = () => openSqliteStore({ path: join(createFolder(), "store.db") });
const entriesOf = async (store: Store) => new Map((await store.list(epochPrefix)).entries.map((entry) => [entry.key, entry]));
const keyIds = (jwks: string) => (JSON.parse(jwks) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid);

test("tomorrow's key is published today, and yesterday's kept for the sessions of its last hour", async () => {
  const store = openStore();
  const epochs = createEpochs(store, sealer);
  await epochs.maintain(noon);
  const first = await entriesOf(store);
  expect(first.size).toBe(2);
  const today = epochs.signing(first, noon);
  const tomorrow = keyIds(epochs.jwks(first))[1];
  await epochs.maintain(noon + day);
  const second = await entriesOf(store);
  expect(epochs.signing(second, noon + day).keyId).toBe(tomorrow);
  expect(keyIds(epochs.jwks(second))).toHaveLength(3);
  expect(epochs.byAccessKeyId(second, createAccessKeyId(today.day))?.secretKey).toEqual(today.secretKey);
  await epochs.maintain(noon + 2 * day);
  const third = await entriesOf(store);
  expect(epochs.byAccessKeyId(third, createAccessKeyId(today.day))).toBeUndefined();
  expect(() => epochs.signing(third, noon + 5 * day)).toThrow("there is no epoch for today");
  await store.close();
});

test("what the store holds is sealed, and another process reads the same keys from it", async () => {
  const store = openStore();
  const epochs = createEpochs(store, sealer);
  await epochs.maintain(noon);
  const entries = await entriesOf(store);
  const again = createEpochs(store, sealer);
  await again.maintain(noon);
  expect((await entriesOf(store)).size).toBe(2);
  expect(again.jwks(entries)).toBe(epochs.jwks(entries));
  for (const { value } of entries.values()) expect(Buffer.from(value).includes(epochs.signing(entries, noon).secretKey)).toBe(false);
  const stranger = createEpochs(store, createSealer(randomBytes(32)));
  expect(() => stranger.signing(entries, noon)).toThrow(expect.objectContaining({ code: "wrong-master-key" }) as Error);
  await store.close();
});

test("access key ids name their epoch and are of AWS's form; secrets are 40 characters and depend on id and key", () => {
  assert(
    property(integer({ min: 0, max: 100_000 }), (epochDay) => {
      const id = createAccessKeyId(epochDay);
      expect(id).toMatch(/^CSGN[A-Z2-7]{16}$/);
      expect(epochCharacterOf(id)).toBe(epochCharacter(epochDay));
      expect(epochCharacter(epochDay + 1)).not.toBe(epochCharacter(epochDay));
    }),
    { numRuns: 200 },
  );
  const [a, b] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const id = createAccessKeyId(0);
  expect(secretAccessKeyOf(id, a)).toMatch(/^[A-Za-z0-9+/]{40}$/);
  expect(new Set([secretAccessKeyOf(id, a), secretAccessKeyOf(id, b), secretAccessKeyOf(createAccessKeyId(0), a)]).size).toBe(3);
  for (const text of ["", "CSGN", "AKIAIOSFODNN7EXAMPLE", `${id}A`, id.toLowerCase()]) expect(epochCharacterOf(text)).toBeUndefined();
});
