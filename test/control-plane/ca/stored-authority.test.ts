import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { forWorkload } from "../../../common/spiffe/id.ts";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { openAuthorityKeys } from "../../../control-plane/ca/stored-authority.ts";
import type { CaError, CaErrorCode } from "../../../control-plane/ca/error.ts";
import { createSealer } from "../../../control-plane/store/sealed.ts";
import type { StoreError } from "../../../control-plane/store/error.ts";
import type { Store } from "../../../control-plane/store/store.ts";
import { NOW } from "../../common/x509/certificate-maker.ts";
import { createCaFixture, newProvenKey, trustDomain } from "./ca-fixture.ts";
import type { CaFixture } from "./ca-fixture.ts";

const DAY = 86_400;
const failsWith = (code: CaErrorCode) => expect.objectContaining({ code });
const recordOf = async (store: Store, key: string) =>
  JSON.parse(Buffer.from((await store.get(key))!.value).toString()) as Record<string, string | number>;
const rewrite = async (store: Store, key: string, edit: (record: Record<string, string | number>) => void) => {
  const record = await recordOf(store, key);
  edit(record);
  await store.put(key, Buffer.from(JSON.stringify(record)));
};

/** The store as it would be if the process died at the n-th commit: before it, or after it but before anybody heard. */
function dyingStore(store: Store, dyingCommit: number, after: boolean): Store {
  let commits = 0;
  return {
    ...store,
    async commit(operations, options) {
      const dies = ++commits === dyingCommit;
      if (dies && !after) throw new Error("killed");
      const revision = await store.commit(operations, options);
      if (dies) throw new Error("killed");
      return revision;
    },
  };
}

describe("the stored authority", () => {
  let ca: CaFixture;
  let store: Store;
  beforeEach(async () => {
    ca = await createCaFixture();
    ({ store } = ca.options);
  });
  afterEach(async () => {
    await ca.dispose();
  });

  test("lies in the store without a private key in the clear", async () => {
    const { root, issuer } = await openAuthorityKeys(ca.options, NOW);
    const { entries } = await store.list("");
    const kept = Buffer.concat(entries.map(({ value }) => value)).toString("latin1");
    const decoded = [...kept.matchAll(/[A-Za-z0-9+/]{20,}={0,2}/g)]
      .map(([text]) => Buffer.from(text, "base64").toString("latin1"))
      .join("\n");
    expect(decoded).toContain(root.certificate.der.toString("latin1"));
    for (const { privateKey } of [root, issuer]) {
      const scalar = Buffer.from(privateKey.export({ format: "jwk" }).d!, "base64url").toString("latin1");
      expect(kept.includes(scalar) || decoded.includes(scalar)).toBe(false);
    }
  });

  test("is one, whoever starts first, and how many at once", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, async () => openAuthorityKeys(ca.options, NOW)));
    expect(new Set(all.map(({ root }) => root.certificate.serial)).size).toBe(1);
    expect(new Set(all.map(({ issuer }) => issuer.certificate.serial)).size).toBe(1);
    expect((await store.list("ca/")).entries.map(({ key }) => key)).toEqual(["ca/issuer/1", "ca/root/1", "ca/state"]);
  });

  test("gets one successor of its issuer, how many replicas ever renew it at once", async () => {
    await openAuthorityKeys(ca.options, NOW);
    const later = NOW + 75 * DAY;
    const all = await Promise.all(Array.from({ length: 8 }, async () => openAuthorityKeys(ca.options, later)));
    expect(new Set(all.map(({ issuer }) => issuer.certificate.serial)).size).toBe(1);
    expect((await store.list("ca/issuer/")).entries).toHaveLength(2);
  });

  test.each([false, true])("a death at the first start's commit (made already: %s) leaves one that works", async (after) => {
    await expect(openAuthorityKeys({ ...ca.options, store: dyingStore(store, 1, after) }, NOW)).rejects.toThrow("killed");
    expect((await store.list("ca/")).entries).toHaveLength(after ? 3 : 0);
    const authority = await ca.open();
    const svid = await authority.issueSvid({
      spiffeId: forWorkload(trustDomain, "shop", "orders"),
      key: newProvenKey(),
      lifetimeSeconds: 300,
    });
    expect(svid.chain).toHaveLength(2);
  });

  test.each([false, true])("a death at a renewal's commit (made already: %s) leaves one issuer in charge", async (after) => {
    const first = await openAuthorityKeys(ca.options, NOW);
    const later = NOW + 75 * DAY;
    await expect(openAuthorityKeys({ ...ca.options, store: dyingStore(store, 1, after) }, later)).rejects.toThrow("killed");
    const next = await openAuthorityKeys(ca.options, later);
    expect(next.issuer.certificate.serial).not.toBe(first.issuer.certificate.serial);
    expect(next.root.certificate.serial).toBe(first.root.certificate.serial);
    expect(await recordOf(store, "ca/state")).toMatchObject({ issuer: 2 });
    expect((await store.list("ca/issuer/")).entries).toHaveLength(2);
  });

  test("an issuer is not renewed past its root, and an expired root ends it", async () => {
    const { root } = await openAuthorityKeys(ca.options, NOW);
    const rootEnd = root.certificate.notAfter;
    const { issuer } = await openAuthorityKeys(ca.options, rootEnd - 40 * DAY);
    expect(issuer.certificate.notAfter).toBe(rootEnd);
    const again = await openAuthorityKeys(ca.options, rootEnd - DAY);
    expect(again.issuer.certificate.serial).toBe(issuer.certificate.serial);
    await expect(openAuthorityKeys(ca.options, rootEnd + 1)).rejects.toThrow(failsWith("authority-expired"));
  });

  describe("is refused, and left as it is,", () => {
    beforeEach(async () => {
      await openAuthorityKeys(ca.options, NOW);
    });
    /** Of the refusal; undefined where it opens, or where anything was changed. */
    const codeOf = async (options = ca.options): Promise<string | undefined> => {
      const before = await store.list("ca/");
      const code = await openAuthorityKeys(options, NOW).then(
        () => undefined,
        (error: CaError | StoreError) => error.code,
      );
      return isDeepStrictEqual(await store.list("ca/"), before) ? code : undefined;
    };

    test("for another trust domain", async () => {
      expect(await codeOf({ ...ca.options, trustDomain: trustDomainFromString("other.example") })).toBe("trust-domain-changed");
      // The certificates themselves say it too.
      await rewrite(store, "ca/state", (record) => (record["trustDomain"] = "other.example"));
      expect(await codeOf({ ...ca.options, trustDomain: trustDomainFromString("other.example") })).toBe("authority-corrupt");
    });

    test("under another master key", async () => {
      expect(await codeOf({ ...ca.options, sealer: createSealer(Buffer.alloc(32)) })).toBe("wrong-master-key");
    });

    test("with a key that was put in the place of another", async () => {
      const { sealedKey } = await recordOf(store, "ca/root/1");
      await rewrite(store, "ca/issuer/1", (record) => (record["sealedKey"] = sealedKey!));
      expect(await codeOf()).toBe("sealed-malformed");
    });

    test("with a certificate that is not its key's, or not the root's", async () => {
      const { certificate } = await recordOf(store, "ca/root/1");
      const own = await recordOf(store, "ca/issuer/1");
      await rewrite(store, "ca/issuer/1", (record) => (record["certificate"] = certificate!));
      expect(await codeOf()).toBe("authority-corrupt");
      await store.put("ca/issuer/1", Buffer.from(JSON.stringify(own)));
      const der = Buffer.from(own["certificate"] as string, "base64");
      der[der.length - 1]! ^= 1;
      await rewrite(store, "ca/issuer/1", (record) => (record["certificate"] = der.toString("base64")));
      expect(await codeOf()).toBe("authority-corrupt");
    });

    test("with a record that is missing, cut or not JSON", async () => {
      for (const key of ["ca/root/1", "ca/issuer/1"]) {
        const { value } = (await store.get(key))!;
        await store.put(key, value.subarray(0, value.length - 5));
        expect(await codeOf()).toBe("authority-corrupt");
        await store.put(key, Buffer.from('{"version": 2}'));
        expect(await codeOf()).toBe("authority-corrupt");
        await store.delete(key);
        expect(await codeOf()).toBe("authority-corrupt");
        await store.put(key, value);
      }
      await store.put("ca/state", Buffer.from("{}"));
      expect(await codeOf()).toBe("authority-corrupt");
    });
  });
});
