/** Service-account tokens checked by the API server's keys: which are good, and what an outage changes. */
import { status } from "@grpc/grpc-js";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { CryptoKey } from "jose";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createOfflineTokens } from "../../../control-plane/attestation/offline-token.ts";
import type { TokenReader } from "../../../control-plane/attestation/kubernetes-token.ts";
import { createKubernetesClient } from "../../../control-plane/kubernetes/client.ts";
import type { KubernetesClient } from "../../../control-plane/kubernetes/client.ts";
import { createFakeClock } from "../../fakes/clock.ts";
import type { FakeClock } from "../../fakes/clock.ts";
import { issue, startPlane, stopPlanes } from "../plane.ts";
import { startApiServer } from "./api-server.ts";
import type { ApiServer } from "./api-server.ts";
import { paths, podObject } from "./cluster-objects.ts";

const issuer = "https://kubernetes.default.svc";
const keysPath = "/openid/v1/jwks";

const serveKeys = (keys: object): void => {
  server.serve(keysPath, keys, "application/jwk-set+json");
};

interface Signer {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly jwk: object;
}

async function createSigner(kid: string, algorithm = "RS256"): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: "sig" } };
}

let first: Signer;
let second: Signer;
let server: ApiServer;

beforeAll(async () => {
  first = await createSigner("first");
  second = await createSigner("second", "ES256");
});

beforeEach(async () => {
  server = await startApiServer();
  server.serve("/.well-known/openid-configuration", { issuer });
  serveKeys({ keys: [first.jwk] });
});

afterEach(async () => {
  await stopPlanes();
  await server.close();
});

const good = {
  iss: issuer,
  aud: ["countersign"],
  sub: "system:serviceaccount:shop:orders",
  "kubernetes.io": { namespace: "shop", pod: { name: "orders-1", uid: "uid-orders" }, serviceaccount: { name: "orders", uid: "uid-sa" } },
};

interface Wanted {
  readonly claims?: object;
  readonly signer?: Signer;
  readonly lifetimeSeconds?: number | undefined;
  readonly header?: object;
}

async function sign(nowMs: number, { claims = {}, signer = first, lifetimeSeconds = 3600, header = {} }: Wanted = {}): Promise<string> {
  const now = Math.floor(nowMs / 1000);
  return await new SignJWT({ iat: now, nbf: now, exp: now + lifetimeSeconds, ...good, ...claims })
    .setProtectedHeader({ alg: signer.kid === "first" ? "RS256" : "ES256", kid: signer.kid, ...header })
    .sign(signer.privateKey);
}

describe("the reader", () => {
  let clock: FakeClock;
  let client: KubernetesClient;
  let tokens: TokenReader;

  beforeEach(async () => {
    clock = createFakeClock();
    client = await createKubernetesClient(server.kubeconfig, clock);
    tokens = createOfflineTokens({ client, clock, signal: AbortSignal.timeout(60_000) });
    return async () => {
      await client.close();
    };
  });

  const read = async (wanted: Wanted = {}) => await tokens.read(await sign(clock.now(), wanted));
  const keyRequests = () => server.requests.filter((request) => request.endsWith(keysPath)).length;

  test("takes a pod's token for what it says, and asks for the keys once", async () => {
    const bound = { namespace: "shop", serviceAccount: "orders", podName: "orders-1", podUid: "uid-orders" };
    await expect(Promise.all([read(), read(), read()])).resolves.toEqual([bound, bound, bound]);
    expect(keyRequests()).toBe(1);
    expect(server.requests.some((request) => request.startsWith("POST"))).toBe(false);
  });

  test.each<[string, string, Wanted]>([
    ["of another issuer", "token-refused", { claims: { iss: "https://elsewhere.example" } }],
    ["for another audience", "token-refused", { claims: { aud: ["https://kubernetes.default.svc"] } }],
    ["that has run out", "token-refused", { lifetimeSeconds: -1 }],
    ["without an end", "token-refused", { claims: { exp: undefined } }],
    ["from the future", "token-refused", { claims: { nbf: 4_000_000_000 } }],
    ["without a subject", "token-refused", { claims: { sub: undefined } }],
    ["of a user", "token-unbound", { claims: { sub: "admin" } }],
    ["bound to no pod", "token-unbound", { claims: { "kubernetes.io": { namespace: "shop" } } }],
    ["without the cluster's claims", "token-unbound", { claims: { "kubernetes.io": undefined } }],
    ["with a pod's name that is a path", "token-unbound", { claims: { "kubernetes.io": { pod: { name: "../x", uid: "u" } } } }],
  ])("refuses one %s", async (_what, reason, wanted) => {
    await expect(read(wanted)).rejects.toMatchObject({ reason, message: "the service-account token is not valid here" });
  });

  test("refuses what is signed by nobody, by a key of its own choice, or by a secret made of the public key", async () => {
    await read();
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const payload = { ...good, exp: Math.floor(clock.now() / 1000) + 600 };
    await expect(tokens.read(`${part({ alg: "none" })}.${part(payload)}.AA`)).rejects.toMatchObject({ reason: "token-refused" });
    const embedded = await sign(clock.now(), { signer: second, header: { kid: "first", jwk: second.jwk } });
    await expect(tokens.read(embedded)).rejects.toMatchObject({ reason: "token-refused" });
    const secret = new TextEncoder().encode(JSON.stringify(first.jwk));
    const confused = await new SignJWT(payload).setProtectedHeader({ alg: "HS256", kid: "first" }).sign(secret);
    await expect(tokens.read(confused)).rejects.toMatchObject({ reason: "token-refused" });
    const changed = (await sign(clock.now())).split(".");
    changed[1] = part({ ...payload, sub: "system:serviceaccount:shop:admin" });
    await expect(tokens.read(changed.join("."))).rejects.toMatchObject({ reason: "token-refused" });
  });

  test("a key that is new is asked for, but not at everybody's wish", async () => {
    await read();
    serveKeys({ keys: [first.jwk, second.jwk] });
    await expect(read({ signer: second })).rejects.toMatchObject({ reason: "token-refused" });
    expect(keyRequests()).toBe(1);
    clock.advance(11_000);
    await expect(read({ signer: second })).resolves.toMatchObject({ podName: "orders-1" });
    expect(keyRequests()).toBe(2);
  });

  test("keys that are no longer served are forgotten within minutes, and in an outage within a day", async () => {
    await read();
    server.down(true);
    clock.advance(23 * 3_600_000);
    await expect(read()).resolves.toMatchObject({ podName: "orders-1" });
    clock.advance(2 * 3_600_000);
    await expect(read()).rejects.toMatchObject({ code: "unreachable" });
    server.down(false);
    serveKeys({ keys: [second.jwk] });
    await expect(read()).rejects.toMatchObject({ reason: "token-refused" });
    await expect(read({ signer: second })).resolves.toMatchObject({ podName: "orders-1" });
  });

  test.each<[string, object]>([
    ["none", { keys: [] }],
    ["a secret one", { keys: [{ kty: "oct", k: "c2VjcmV0" }] }],
    ["no keys", { kind: "Status" }],
  ])("keys that are none are an error of the cluster, not of the token: %s", async (_what, keys) => {
    serveKeys(keys);
    await expect(read()).rejects.toMatchObject({ code: "malformed-answer" });
  });
});

describe("a control plane that checks tokens itself", () => {
  const environment = () => ({
    COUNTERSIGN_KUBERNETES: "enabled",
    COUNTERSIGN_KUBERNETES_TOKENS: "offline",
    KUBECONFIG: server.kubeconfig,
  });
  const pod = { ip: "127.0.0.1", account: "orders", uid: "uid-orders" };

  test("renews while the API server is away, for the pods that it has seen, and no others", async () => {
    server.put(paths.pods, podObject("orders-1", pod));
    server.put(paths.pods, podObject("orders-2", { ...pod, uid: "uid-second" }));
    const plane = await startPlane({ environment: environment() });
    const attest = async (claims: object = {}) => {
      const token = await sign(Date.now(), { claims });
      return await issue(plane.connect(), { $case: "kubernetes", value: { token } });
    };
    const unseen = { "kubernetes.io": { pod: { name: "orders-2", uid: "uid-second" } } };
    const renamed = { sub: "system:serviceaccount:shop:admin" };
    await expect(attest()).resolves.toMatchObject({ response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" } });
    server.down(true);
    await expect(attest()).resolves.toMatchObject({ response: { spiffeId: "spiffe://prod.example/ns/shop/sa/orders" } });
    await expect(attest(unseen)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(attest(renamed)).rejects.toMatchObject({ code: status.UNAVAILABLE });
    server.down(false);
    server.remove(paths.pods, "shop", "orders-1");
    await expect(attest()).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
    server.down(true);
    await expect(attest()).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });
});
