import { spawnSync } from "node:child_process";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { forWorkload, fromString } from "../../../common/spiffe/id.ts";
import { createCsr } from "../../../common/x509/csr.ts";
import { certificatesToPem } from "../../../common/x509/pem.ts";
import { verifyPeer } from "../../../common/x509/verify-chain.ts";
import type { IssuedSvid } from "../../../control-plane/ca/authority.ts";
import { checkCsr } from "../../../control-plane/ca/csr.ts";
import type { CaErrorCode } from "../../../control-plane/ca/error.ts";
import { newKeys, NOW } from "../../common/x509/certificate-maker.ts";
import { createCaFixture, newProvenKey, trustDomain } from "./ca-fixture.ts";
import type { CaFixture } from "./ca-fixture.ts";

const failsWith = (code: CaErrorCode) => expect.objectContaining({ name: "CaError", code });
const spiffeId = forWorkload(trustDomain, "shop", "orders");
const DAY = 86_400;

describe("the authority", () => {
  let ca: CaFixture;
  beforeEach(async () => {
    ca = await createCaFixture();
  });
  afterEach(async () => {
    await ca.dispose();
  });

  describe("issues a chain", () => {
    test("that proves the id to a peer who holds the bundle", async () => {
      const authority = await ca.open();
      const key = newProvenKey();
      const svid = await authority.issueSvid({ spiffeId, key, lifetimeSeconds: 3600 });
      const leaf = verifyPeer(svid.chain, new Map([[trustDomain, authority.bundle()]]), NOW);
      expect(leaf).toMatchObject({ spiffeId, serial: svid.serial, notBefore: NOW - 60, notAfter: NOW + 3600 });
      expect(leaf.publicKey).toEqual(key.publicKey);
      expect(svid).toMatchObject({ spiffeId, notBefore: NOW - 60, notAfter: NOW + 3600, chain: { length: 2 } });
    });

    test("that OpenSSL verifies by its strict rules, for client and for server", async () => {
      ca.setTime(Math.floor(Date.now() / 1000));
      const authority = await ca.open();
      const { chain } = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
      const folder = mkdtempSync(join(tmpdir(), "countersign-openssl-"));
      try {
        const paths = ["root", "issuer", "leaf"].map((name) => join(folder, name)) as [string, string, string];
        writeFileSync(paths[0], certificatesToPem([authority.bundle().authorities[0]!.der]));
        writeFileSync(paths[1], certificatesToPem([chain[1]!]));
        writeFileSync(paths[2], certificatesToPem([chain[0]!]));
        for (const purpose of ["sslclient", "sslserver"]) {
          const options = ["-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile", paths[0], "-untrusted", paths[1], paths[2]];
          const { status, stdout, stderr } = spawnSync("openssl", ["verify", ...options]);
          expect([status, stdout.toString().trim(), stderr.toString()]).toEqual([0, `${paths[2]}: OK`, ""]);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    test("that a TLS 1.3 handshake takes on both sides", async () => {
      ca.setTime(Math.floor(Date.now() / 1000));
      const authority = await ca.open();
      const identity = async (name: string) => {
        const keys = newKeys();
        const svid = await authority.issueSvid({
          spiffeId: forWorkload(trustDomain, "shop", name),
          key: checkCsr(createCsr(keys)),
          lifetimeSeconds: 3600,
        });
        return { cert: certificatesToPem(svid.chain), key: keys.privateKey.export({ format: "pem", type: "pkcs8" }) };
      };
      const shared = { ca: certificatesToPem([authority.bundle().authorities[0]!.der]), minVersion: "TLSv1.3" } as const;
      const server = createServer({ ...shared, ...(await identity("orders")), requestCert: true, rejectUnauthorized: true });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const accepted = once(server, "secureConnection");
      const client = connect({
        ...shared,
        ...(await identity("storefront")),
        port,
        host: "127.0.0.1",
        checkServerIdentity: () => undefined,
      });
      await once(client, "secureConnect");
      const [peer] = (await accepted) as [TLSSocket];
      expect([client.authorized, peer.authorized]).toEqual([true, true]);
      expect(peer.getPeerX509Certificate()!.subjectAltName).toBe("URI:spiffe://mesh.example/ns/shop/sa/storefront");
      client.destroy();
      peer.destroy();
      server.close();
      await once(server, "close");
    });

    test("with serial numbers of 128 random bits", async () => {
      const authority = await ca.open();
      const serials = new Set<string>();
      for (let index = 0; index < 200; index++) {
        const { serial } = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
        expect(serial).toMatch(/^01[0-9a-f]{32}$/);
        serials.add(serial);
      }
      expect(serials.size).toBe(200);
      // Each bit is now one, now zero.
      const bits = [...serials].map((serial) => BigInt(`0x${serial.slice(2)}`));
      const all = 2n ** 128n - 1n;
      expect(bits.reduce((some, one) => some | one, 0n)).toBe(all);
      expect(bits.reduce((every, one) => every & one, all)).toBe(0n);
    });

    test.each([
      [0, 300],
      [-1, 300],
      [299, 300],
      [300, 300],
      [3600, 3600],
      [86_400, 86_400],
      [86_401, 86_400],
      [2 ** 32 - 1, 86_400],
    ])("for %i seconds when asked, and %i when allowed", async (asked, allowed) => {
      const authority = await ca.open();
      const svid = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: asked });
      expect(svid.notAfter).toBe(NOW + allowed);
    });

    test("that never outlives its issuer, and none when the issuer has too little left", async () => {
      const authority = await ca.open();
      const issuerEnd = NOW + 90 * DAY;
      ca.setTime(issuerEnd - 1000);
      const svid = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
      expect(svid.notAfter).toBe(issuerEnd);
      for (const now of [issuerEnd - 299, issuerEnd + 1, NOW - 2 * 3600]) {
        ca.setTime(now);
        const issuing = authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
        await expect(issuing).rejects.toThrow(failsWith("authority-expired"));
      }
    });
  });

  describe("refuses", () => {
    test("an id of another trust domain, or of none's path", async () => {
      const authority = await ca.open();
      const issue = async (id: string) => authority.issueSvid({ spiffeId: fromString(id), key: newProvenKey(), lifetimeSeconds: 3600 });
      await expect(issue("spiffe://other.example/ns/shop/sa/orders")).rejects.toThrow(failsWith("foreign-trust-domain"));
      await expect(issue("spiffe://mesh.example.evil/ns/shop")).rejects.toThrow(failsWith("foreign-trust-domain"));
      await expect(issue("spiffe://mesh.example")).rejects.toThrow(failsWith("self-check-failed"));
    });

    test("a key a second time, for the same id or another", async () => {
      const authority = await ca.open();
      const key = newProvenKey();
      await authority.issueSvid({ spiffeId, key, lifetimeSeconds: 3600 });
      for (const account of ["orders", "inventory"]) {
        const again = authority.issueSvid({ spiffeId: forWorkload(trustDomain, "shop", account), key, lifetimeSeconds: 3600 });
        await expect(again).rejects.toThrow(failsWith("key-reused"));
      }
    });

    test("a key that slipped past the check of the request", async () => {
      const authority = await ca.open();
      const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 1024 });
      const weak = { ...newProvenKey(), publicKey: publicKey.export({ format: "der", type: "spki" }) };
      const issuing = authority.issueSvid({ spiffeId, key: weak, lifetimeSeconds: 3600 });
      await expect(issuing).rejects.toThrow(failsWith("self-check-failed"));
    });
  });

  describe("records an issuance before the certificate leaves", () => {
    test("with what was issued", async () => {
      const records: IssuedSvid[] = [];
      const recorded = Promise.withResolvers<void>();
      const authority = await ca.open({
        onIssue: async (svid) => {
          records.push(svid);
          await recorded.promise;
        },
      });
      let released = false;
      const issuing = (async () => {
        const svid = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
        released = true;
        return svid;
      })();
      await new Promise(setImmediate);
      expect([records.length, released]).toEqual([1, false]);
      recorded.resolve();
      expect(await issuing).toEqual(records[0]);
    });

    test("or keeps it, and the key may be asked for again", async () => {
      let full = true;
      const authority = await ca.open({
        onIssue: async () => {
          if (full) throw new Error("disk full");
        },
      });
      const key = newProvenKey();
      const refused = authority.issueSvid({ spiffeId, key, lifetimeSeconds: 3600 });
      await expect(refused).rejects.toThrow(failsWith("not-recorded"));
      full = false;
      expect((await authority.issueSvid({ spiffeId, key, lifetimeSeconds: 3600 })).spiffeId).toBe(spiffeId);
    });
  });

  describe("its own certificates", () => {
    test("are a root of ten years and an issuer of ninety days, named for the trust domain", async () => {
      const authority = await ca.open();
      const { chain } = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 });
      const root = new X509Certificate(authority.bundle().authorities[0]!.der);
      const issuer = new X509Certificate(chain[1]!);
      expect([root.checkIssued(root), root.verify(root.publicKey), root.ca]).toEqual([true, true, true]);
      expect([issuer.checkIssued(root), issuer.verify(root.publicKey), issuer.ca]).toEqual([true, true, true]);
      expect([root.subjectAltName, issuer.subjectAltName]).toEqual(["URI:spiffe://mesh.example", "URI:spiffe://mesh.example"]);
      const days = ({ validToDate }: X509Certificate) => Math.round((validToDate.getTime() / 1000 - NOW) / DAY);
      expect([days(root), days(issuer)]).toEqual([3652, 90]);
      expect(root.subject).toMatch(/^O=Countersign\nCN=Root [0-9a-f]{16}$/);
      expect(issuer.subject).toMatch(/^O=Countersign\nCN=Issuer [0-9a-f]{16}$/);
    });

    test("stay across a restart", async () => {
      const before = await ca.open();
      const after = await ca.open();
      const chains = await Promise.all(
        [before, after].map(async (authority) => authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: 3600 })),
      );
      expect(chains[0]!.chain[1]).toEqual(chains[1]!.chain[1]);
      expect(before.bundle().authorities.map(({ der }) => der)).toEqual(after.bundle().authorities.map(({ der }) => der));
    });

    test("the issuer's successor comes under the same root, sixty days on, and leaves of both are good", async () => {
      const authority = await ca.open();
      const old = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: DAY });
      await authority.maintain();
      const same = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: DAY });
      expect(same.chain[1]).toEqual(old.chain[1]);

      ca.setTime(NOW + 60 * DAY + 1);
      const last = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: DAY });
      await authority.maintain();
      const next = await authority.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: DAY });
      expect(next.chain[1]).not.toEqual(last.chain[1]);
      const bundles = new Map([[trustDomain, authority.bundle()]]);
      expect(bundles.get(trustDomain)!.authorities).toHaveLength(1);
      for (const { chain } of [last, next]) expect(verifyPeer(chain, bundles, NOW + 60 * DAY + 1).spiffeId).toBe(spiffeId);

      // Another replica takes over what the first one made.
      const replica = await ca.open();
      const other = await replica.issueSvid({ spiffeId, key: newProvenKey(), lifetimeSeconds: DAY });
      expect(other.chain[1]).toEqual(next.chain[1]);
    });
  });
});
