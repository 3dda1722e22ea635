/**
 * Connections that must not come to be, at the real inbound port (threats.md, rows 1 to 4): certificates are made with the keys
 * of the mesh's own authority, so that nothing but what the row names is wrong with them.
 */
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodePem } from "../../common/x509/pem.ts";
import { identityOfAnotherAuthority } from "../../examples/shop/foreign-authority.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import {
  CLIENT_AUTH,
  dnsName,
  Ext,
  leafExtensions,
  makeCertificate,
  name,
  SERVER_AUTH,
  validity,
} from "../common/x509/certificate-maker.ts";
import { addressOf, firstAnswer, sendPlain, sendTls, tlsOptions, wireText } from "./clients.ts";
import { sendRequest, signed, startHostileMesh, type HostileMesh } from "./hostile-mesh.ts";
import { until } from "./harness.ts";

let hostile: HostileMesh;
beforeAll(async () => {
  hostile = await startHostileMesh();
});
afterAll(async () => hostile?.mesh.stop());

const caller = "spiffe://test.example/ns/shop/sa/caller";
const seconds = () => Math.floor(Date.now() / 1000);

/** How often connections were refused for that reason. */
async function refusals(reason: string): Promise<number> {
  const response = await fetch(`http://${hostile.target.metrics}/metrics`);
  const line = new RegExp(`countersign_inbound_connections_refused_total\\{reason="${reason}"\\} (\\d+)`).exec(await response.text());
  return Number(line?.[1] ?? 0);
}

async function counted(reason: string, act: () => Promise<unknown>): Promise<unknown> {
  const before = await refusals(reason);
  const outcome = await act();
  await until(`${reason} is counted`, async () => (await refusals(reason)) === before + 1);
  return outcome;
}

const request = () => wireText(signed(hostile));
/** Nothing but closed: no status, no application data. */
const attempt = (options: ConnectionOptions) => sendTls(hostile.target.inbound, options, request());

interface LeafShape {
  readonly extensions?: Record<string, Buffer | undefined>;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly subject?: Buffer;
}

/** A certificate by the mesh's own issuer, good but for `shape`. */
function certified(shape: LeafShape = {}): Identity {
  const { issuer } = hostile.secrets.authority;
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const der = makeCertificate({
    issuer: issuer.certificate.subject,
    signingKey: issuer.privateKey,
    publicKey: keys.publicKey.export({ format: "der", type: "spki" }),
    validity: validity(shape.notBefore ?? seconds() - 60, shape.notAfter ?? seconds() + 600),
    extensions: leafExtensions({ aki: Ext.aki(Buffer.from(issuer.certificate.ski, "hex")), san: Ext.uri(caller), ...shape.extensions }),
    ...(shape.subject ? { subject: shape.subject } : {}),
  });
  return {
    ...hostile.caller,
    certificateChain: encodePem("CERTIFICATE", der) + encodePem("CERTIFICATE", issuer.certificate.der),
    privateKey: keys.privateKey.export({ format: "pem", type: "pkcs8" }),
  };
}

test("a certificate made so is good when nothing is wrong with it", async () => {
  expect(await sendRequest(hostile, signed(hostile), { as: certified() })).toMatchObject({ status: 200 });
});

describe("row 1: what is no mutual TLS 1.3 with ALPN is closed and counted", () => {
  test.each<[string, () => string]>([
    ["plaintext HTTP/1.1", () => request()],
    [
      "an h2c upgrade",
      () =>
        "GET / HTTP/1.1\r\nhost: target\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    ],
    ["HTTP/2 with prior knowledge", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"],
    ["noise", () => "\xff\xfe\xfd\xfc\xfb\xfa and more of it, beyond a record's head"],
  ])("%s", async (_, bytes) => {
    const text = await counted("plaintext", () => sendPlain(hostile.target.inbound, bytes()));
    expect(text).not.toContain("HTTP");
  });

  test("TLS 1.2", async () => {
    const outcome = await counted("tls-version", () =>
      attempt({ ...tlsOptions(hostile.caller), minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }),
    );
    expect(outcome).toBe("");
  });

  test("no client certificate", async () => {
    const { cert: _cert, key: _key, ...options } = tlsOptions(hostile.caller);
    expect(await counted("no-client-certificate", () => attempt(options))).toBe("");
  });

  test("no ALPN, and one that nobody speaks", async () => {
    const { ALPNProtocols: _protocols, ...options } = tlsOptions(hostile.caller);
    expect(await counted("no-alpn", () => attempt(options))).toBe("");
    expect(await counted("no-alpn", () => attempt({ ...options, ALPNProtocols: ["http/1.0", "spdy/3"] }))).toBe("");
  });
});

describe("row 2: certificates that are not to be believed", () => {
  test("expired", async () => {
    const identity = certified({ notBefore: seconds() - 7200, notAfter: seconds() - 10 });
    expect(await counted("expired", () => attempt(tlsOptions(identity)))).toBe("");
  });

  test("not yet valid", async () => {
    const identity = certified({ notBefore: seconds() + 600, notAfter: seconds() + 7200 });
    expect(await counted("not-yet-valid", () => attempt(tlsOptions(identity)))).toBe("");
  });

  test("of another trust domain, by our own issuer", async () => {
    const identity = certified({ extensions: { san: Ext.uri("spiffe://other.example/ns/shop/sa/caller") } });
    expect(await counted("unknown-trust-domain", () => attempt(tlsOptions(identity)))).toBe("");
  });

  test("of an issuer that nobody knows, which calls itself as ours does", async () => {
    const identity = await identityOfAnotherAuthority(hostile.caller);
    expect(await counted("unknown-issuer", () => attempt(tlsOptions(identity)))).toBe("");
  });

  test("without the issuer's certificate, so that no chain leads to the root", async () => {
    const { certificateChain, ...rest } = hostile.caller;
    const [leaf = ""] = certificateChain.split(/(?<=-----END CERTIFICATE-----\n)/);
    expect(await counted("unknown-issuer", () => attempt(tlsOptions({ ...rest, certificateChain: leaf })))).toBe("");
  });
});

describe("row 4: certificates that OpenSSL would take and our profile refuses", () => {
  test.each<[string, LeafShape, string]>([
    ["two URI names", { extensions: { san: Ext.uri(caller, "spiffe://test.example/ns/shop/sa/admin") } }, "subject-alternative-name"],
    [
      "a DNS name beside the URI",
      { extensions: { san: Ext.names(true, dnsName("target"), Buffer.concat([Buffer.from([0x86, caller.length]), Buffer.from(caller)])) } },
      "subject-alternative-name",
    ],
    ["no name", { extensions: { san: undefined } }, "subject-alternative-name"],
    [
      "a name that is not critical",
      { extensions: { san: Ext.names(false, Buffer.concat([Buffer.from([0x86, caller.length]), Buffer.from(caller)])) } },
      "subject-alternative-name",
    ],
    ["cA true", { extensions: { basic: Ext.basic("30030101ff") } }, "basic-constraints"],
    ["keyCertSign", { extensions: { keyUsage: Ext.keyUsage("03020284") } }, "key-usage"],
    ["a key usage that is not critical", { extensions: { keyUsage: Ext.keyUsage("03020780", false) } }, "key-usage"],
    ["no key usage", { extensions: { keyUsage: undefined } }, "key-usage"],
    ["client authentication alone", { extensions: { purposes: Ext.purposes(CLIENT_AUTH) } }, "extended-key-usage"],
    ["any purpose", { extensions: { purposes: Ext.purposes(SERVER_AUTH, CLIENT_AUTH, "2.5.29.37.0") } }, "extended-key-usage"],
    ["a trailing slash", { extensions: { san: Ext.uri(`${caller}/`) } }, "spiffe-id"],
    ["..", { extensions: { san: Ext.uri("spiffe://test.example/ns/shop/../shop/sa/caller") } }, "spiffe-id"],
    ["an upper-case trust domain", { extensions: { san: Ext.uri("spiffe://TEST.example/ns/shop/sa/caller") } }, "spiffe-id"],
    ["another scheme", { extensions: { san: Ext.uri("https://test.example/ns/shop/sa/caller") } }, "spiffe-id"],
    ["no path", { extensions: { san: Ext.uri("spiffe://test.example") } }, "spiffe-id"],
    ["an escape", { extensions: { san: Ext.uri("spiffe://test.example/ns/shop/sa/%63aller") } }, "spiffe-id"],
    ["a subject", { subject: name("caller") }, "subject"],
  ])("%s", async (_, shape, reason) => {
    expect(await counted(reason, () => attempt(tlsOptions(certified(shape))))).toBe("");
    expect(hostile.target.logs.findLast((line) => line["msg"] === "connection refused")).toMatchObject({ reason });
  });

  test("server authentication alone: OpenSSL refuses it already", async () => {
    const identity = certified({ extensions: { purposes: Ext.purposes(SERVER_AUTH) } });
    expect(await attempt(tlsOptions(identity))).toBe("");
  });

  test("NUL in the name", async () => {
    const identity = certified({ extensions: { san: Ext.uri(`${caller}\0.evil.example`) } });
    expect(await attempt(tlsOptions(identity))).toBe("");
  });
});

describe("row 3: there is no resumption that could skip these checks", () => {
  /** Connects with what an earlier connection left behind. */
  async function connected(session: Buffer | undefined): Promise<{ socket: TLSSocket; sessions: Buffer[] }> {
    const socket = connectTls({
      ...addressOf(hostile.target.inbound),
      ...tlsOptions(hostile.caller),
      ...(session === undefined ? {} : { session }),
    });
    const sessions: Buffer[] = [];
    socket.on("session", (each: Buffer) => sessions.push(each));
    await once(socket, "secureConnect");
    return { socket, sessions };
  }

  test("no ticket is given, and what a client offers from before is not taken", async () => {
    const { socket, sessions } = await connected(undefined);
    expect(socket.isSessionReused()).toBe(false);
    // An answer later than any ticket would have come.
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
    socket.write(request());
    await once(socket, "close");
    expect(firstAnswer(text).status).toBe(200);
    const ticket = socket.getTLSTicket();
    const offered = [...sessions, socket.getSession(), ...(ticket ? [ticket] : [])].filter((each) => each !== undefined);
    expect(offered.length).toBeGreaterThan(0);
    for (const session of offered) {
      const again = await connected(session);
      expect(again.socket.isSessionReused()).toBe(false);
      // A whole handshake: the certificate is shown and looked at again.
      expect(again.socket.getPeerCertificate().raw).toBeInstanceOf(Buffer);
      again.socket.destroy();
    }
  });
});

test("a client that says nothing holds up nobody", async () => {
  const { host, port } = addressOf(hostile.target.inbound);
  const silent = connect(port, host);
  await once(silent, "connect");
  expect(await sendRequest(hostile, signed(hostile))).toMatchObject({ status: 200 });
  silent.destroy();
});
