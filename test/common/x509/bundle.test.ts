import { describe, expect, test } from "vitest";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { bundleDocumentFromJson, bundleDocumentToJson } from "../../../common/x509/bundle-document.ts";
import { bundleFromPem, bundleToPem, createTrustBundle, MAX_AUTHORITIES } from "../../../common/x509/bundle.ts";
import type { X509ProfileErrorCode } from "../../../common/x509/error.ts";
import { certificatesFromPem, encodePem } from "../../../common/x509/pem.ts";
import { Ext, makeAuthority } from "./certificate-maker.ts";

const failsWith = (code: X509ProfileErrorCode) => expect.objectContaining({ name: "X509ProfileError", code });
const trustDomain = trustDomainFromString("mesh.example");
const [first, second] = [makeAuthority().der, makeAuthority().der];

describe("a trust bundle", () => {
  test("holds each authority once", () => {
    const bundle = createTrustBundle(trustDomain, [first, second, Buffer.from(first)]);
    expect(bundle.authorities.map(({ der }) => der)).toEqual([first, second]);
  });

  test("has one authority at least and not a flood of them", () => {
    expect(() => createTrustBundle(trustDomain, [])).toThrow(failsWith("bundle"));
    const flood = Array.from({ length: MAX_AUTHORITIES + 1 }, (_, index) => Buffer.of(index));
    expect(() => createTrustBundle(trustDomain, flood)).toThrow(failsWith("bundle"));
  });

  test("takes no authority named for another trust domain", () => {
    const named = makeAuthority({ extensions: { san: Ext.uri("spiffe://mesh.example") } }).der;
    expect(createTrustBundle(trustDomain, [named]).authorities).toHaveLength(1);
    expect(() => createTrustBundle(trustDomainFromString("other.example"), [named])).toThrow(failsWith("spiffe-id"));
  });

  test("goes through PEM", () => {
    const bundle = createTrustBundle(trustDomain, [first, second]);
    expect(bundleFromPem(trustDomain, bundleToPem(bundle)).authorities.map(({ der }) => der)).toEqual([first, second]);
  });
});

describe("PEM", () => {
  const pem = encodePem("CERTIFICATE", first);

  test("may have comments around its blocks and CR LF at its ends", () => {
    const text = `# root\n${pem}\nsome words\n${encodePem("CERTIFICATE", second)}`.replaceAll("\n", "\r\n");
    expect(certificatesFromPem(text)).toEqual([first, second]);
  });

  test.each<[string, string]>([
    ["nothing", ""],
    ["words", "no certificate here"],
    ["a private key", encodePem("PRIVATE KEY", first)],
    ["a private key after a certificate", pem + encodePem("PRIVATE KEY", first)],
    ["a cut block", pem.slice(0, -30)],
    ["a cut block after a whole one", pem + pem.slice(0, 100)],
    ["another label at the end", pem.replace("END CERTIFICATE", "END X509 CRL")],
    ["padding inside", pem.replace("\n", "\n==")],
    ["three characters too few", pem.replace("\nM", "\n")],
  ])("%s is refused", (_, text) => {
    expect(() => certificatesFromPem(text)).toThrow(failsWith("pem"));
  });

  test("a megabyte of lines that never end is refused at once", () => {
    expect(() => certificatesFromPem(`-----BEGIN CERTIFICATE-----\n${"A\n".repeat(500_000)}`)).toThrow(failsWith("pem"));
    expect(() => certificatesFromPem("-----BEGIN A-----\n".repeat(50_000))).toThrow(failsWith("pem"));
  });
});

describe("a SPIFFE bundle document", () => {
  const document = { bundle: createTrustBundle(trustDomain, [first, second]), sequence: 7, refreshHintSeconds: 300 };
  const json = bundleDocumentToJson(document);

  test("says what the specification asks, and nothing private", () => {
    const parsed = JSON.parse(json) as { keys: Record<string, unknown>[] };
    expect(parsed).toMatchObject({ spiffe_sequence: 7, spiffe_refresh_hint: 300 });
    for (const [index, key] of parsed.keys.entries()) {
      expect(Object.keys(key).sort((a, b) => a.localeCompare(b))).toEqual(["crv", "kty", "use", "x", "x5c", "y"]);
      expect(key).toMatchObject({ use: "x509-svid", kty: "EC", crv: "P-256", x5c: [[first, second][index]!.toString("base64")] });
    }
  });

  test("is read back", () => {
    const read = bundleDocumentFromJson(trustDomain, json);
    expect(read.bundle.authorities.map(({ der }) => der)).toEqual([first, second]);
    expect(read).toMatchObject({ sequence: 7, refreshHintSeconds: 300 });
  });

  test("may hold keys of other uses, and lack sequence and hint", () => {
    const { keys } = JSON.parse(json) as { keys: object[] };
    const mixed = JSON.stringify({ keys: [{ use: "jwt-svid", kid: "1", kty: "EC" }, ...keys, { kty: "OKP" }] });
    expect(bundleDocumentFromJson(trustDomain, mixed)).toMatchObject({
      sequence: 0,
      refreshHintSeconds: 0,
      bundle: { authorities: { length: 2 } },
    });
  });

  const edited = (edit: (document: { keys: Record<string, unknown>[] } & Record<string, unknown>) => void): string => {
    const copy = JSON.parse(json) as { keys: Record<string, unknown>[] } & Record<string, unknown>;
    edit(copy);
    return JSON.stringify(copy);
  };
  test.each<[string, string]>([
    ["no JSON", "{"],
    ["a list", "[]"],
    ["null", "null"],
    ["no keys", "{}"],
    ["keys that are no list", '{"keys": {}}'],
    ["a key that is no object", '{"keys": [1]}'],
    ["no X.509 authority", '{"keys": [{"use": "jwt-svid"}]}'],
    ["over 1 MiB", `${json}${" ".repeat(1_048_576)}`],
    ["a negative sequence", edited((document) => (document["spiffe_sequence"] = -1))],
    ["a refresh hint in words", edited((document) => (document["spiffe_refresh_hint"] = "often"))],
    ["two certificates to a key", edited(({ keys }) => (keys[0]!["x5c"] = [first.toString("base64"), second.toString("base64")]))],
    ["no certificate to a key", edited(({ keys }) => delete keys[0]!["x5c"])],
    ["base64 with line feeds", edited(({ keys }) => (keys[0]!["x5c"] = [`${first.toString("base64")}\n`]))],
    ["the key of another certificate", edited(({ keys }) => (keys[0]!["x"] = keys[1]!["x"]))],
    ["the same certificate twice", edited(({ keys }) => keys.push(keys[0]!))],
  ])("%s: refused whole", (_, text) => {
    expect(() => bundleDocumentFromJson(trustDomain, text)).toThrow(failsWith("bundle"));
  });

  test("one malformed authority refuses it whole", () => {
    const text = edited(({ keys }) => (keys[1]!["x5c"] = [second.subarray(0, -1).toString("base64")]));
    expect(() => bundleDocumentFromJson(trustDomain, text)).toThrow(failsWith("malformed"));
  });
});
