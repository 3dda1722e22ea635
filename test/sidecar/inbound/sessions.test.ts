/** The sessions that callers come with: looked at once, asked for once, and refused cheaply. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { SignJWT, exportJWK } from "jose";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ResolveSessionRequest, ResolveSessionResponse } from "../../../common/gen/mesh/v1/token.ts";
import { sessionAudience, sessionKeysFromJwks, sessionTokenType, type SessionKeys } from "../../../common/session/claims.ts";
import { createSessions, type Sessions } from "../../../sidecar/inbound/sessions.ts";
import type { ControlPlane } from "../../../sidecar/sync/control-plane.ts";
import { createFakeClock, type FakeClock } from "../../fakes/clock.ts";

const trustDomain = "test.example";
const scope = "target.shop";
const date = "20260115";

let privateKey: KeyObject;
let keys: SessionKeys;
beforeAll(async () => {
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  ({ privateKey } = pair);
  keys = sessionKeysFromJwks(JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: "key-1", alg: "ES256" }] }));
});

type Reply = (error: object | null, response?: ResolveSessionResponse) => void;

let clock: FakeClock;
let asked: { request: ResolveSessionRequest; reply: Reply }[];
let revisions: number[];
let sessions: Sessions;
beforeEach(() => {
  clock = createFakeClock();
  asked = [];
  revisions = [];
  const tokens = {
    resolveSession(request: ResolveSessionRequest, _metadata: unknown, _options: unknown, reply: Reply) {
      asked.push({ request, reply });
      return { cancel: () => undefined };
    },
  };
  sessions = createSessions({
    controlPlane: () => ({ tokens }) as unknown as ControlPlane,
    keys: () => keys,
    trustDomain,
    revisionReached(revision) {
      revisions.push(revision);
      return Promise.resolve();
    },
    clock,
    maxSessions: 3,
  });
});

const accessKeyOf = (n: number) => `CSGNA${"A".repeat(14)}${"ABCDEFGHIJ"[n]}`;

function token(n: number, lifetime = 900): Promise<string> {
  const now = Math.floor(clock.now() / 1000);
  return new SignJWT({
    iss: trustDomain,
    aud: sessionAudience(trustDomain),
    sub: "arn:mesh:iam:test.example:shop:role/caller",
    jti: accessKeyOf(n),
    iat: now,
    exp: now + lifetime,
    ssn: "caller-1",
    cnf: { spiffe: "spiffe://test.example/ns/shop/sa/caller" },
    att: "join-token",
  })
    .setProtectedHeader({ alg: "ES256", typ: sessionTokenType, kid: "key-1" })
    .sign(privateKey);
}

const asking = async (count: number) => {
  while (asked.length < count) await new Promise(setImmediate);
};
const response = (n: number, change: Partial<ResolveSessionResponse> = {}): ResolveSessionResponse => ({
  signingKey: Buffer.alloc(32, n),
  accessKeyId: accessKeyOf(n),
  revision: 7,
  ...change,
});

async function resolve(n: number, text: string): Promise<void> {
  const count = asked.length + 1;
  const pending = sessions.resolve(text, scope, date);
  await asking(count);
  asked.at(-1)?.reply(null, response(n));
  await pending;
}

test("a session is asked for once, however many calls wait, and found from then on", async () => {
  const text = await token(1);
  expect(sessions.lookup(text, scope, date)).toBeUndefined();
  const waiting = [sessions.resolve(text, scope, date), sessions.resolve(text, scope, date)];
  await asking(1);
  expect(asked[0]?.request).toEqual({ sessionToken: text, scopeService: scope, date });
  asked[0]?.reply(null, response(1));
  const [first, second] = await Promise.all(waiting);
  expect(first).toBe(second);
  expect(first?.session).toMatchObject({ accessKeyId: accessKeyOf(1), roleArn: "arn:mesh:iam:test.example:shop:role/caller" });
  expect(sessions.lookup(text, scope, date)).toBe(first);
  // The snapshot that knows the role is waited for.
  expect(revisions).toEqual([7]);
  expect(asked).toHaveLength(1);
});

test("another day or service is another key", async () => {
  const text = await token(1);
  await resolve(1, text);
  expect(sessions.lookup(text, scope, "20260116")).toBeUndefined();
  expect(sessions.lookup(text, "vault.shop", date)).toBeUndefined();
  expect(sessions.lookup(text, scope, date)).toBeDefined();
});

describe("refusals", () => {
  test("a token that is none costs no question to the control plane", async () => {
    const forged = `${(await token(1)).slice(0, -10)}AAAAAAAAAA`;
    for (const text of ["", "x", "a.b.c", forged, "x".repeat(9000)]) {
      await expect(sessions.resolve(text, scope, date)).rejects.toMatchObject({ reason: "session-invalid" });
    }
    expect(asked).toEqual([]);
  });

  test("one that has expired says so", async () => {
    const text = await token(1, 900);
    clock.advance(901_000);
    await expect(sessions.resolve(text, scope, date)).rejects.toMatchObject({ reason: "session-expired" });
  });

  test("the control plane's refusal is remembered for five seconds", async () => {
    const text = await token(1);
    const pending = sessions.resolve(text, scope, date);
    await asking(1);
    asked[0]?.reply({ code: status.PERMISSION_DENIED });
    await expect(pending).rejects.toMatchObject({ reason: "session-invalid" });
    await expect(sessions.resolve(text, scope, date)).rejects.toMatchObject({ reason: "session-invalid" });
    expect(asked).toHaveLength(1);
    clock.advance(5001);
    await resolve(1, text);
    expect(sessions.lookup(text, scope, date)).toBeDefined();
  });

  test("that it cannot be reached is remembered for half a second", async () => {
    const text = await token(1);
    const pending = sessions.resolve(text, scope, date);
    await asking(1);
    asked[0]?.reply({ code: status.DEADLINE_EXCEEDED });
    await expect(pending).rejects.toMatchObject({ reason: "session-unresolved" });
    await expect(sessions.resolve(text, scope, date)).rejects.toMatchObject({ reason: "session-unresolved" });
    expect(asked).toHaveLength(1);
    clock.advance(501);
    await resolve(1, text);
  });

  test("a control plane that goes away with the question is asked again, until five seconds have passed", async () => {
    const text = await token(1);
    const pending = sessions.resolve(text, scope, date);
    pending.catch(() => undefined);
    for (let times = 1; times < 50; times++) {
      await asking(times);
      asked.at(-1)?.reply({ code: status.UNAVAILABLE });
      while (clock.pendingTimers() === 0) await new Promise(setImmediate);
      clock.advance(100);
    }
    await asking(50);
    asked.at(-1)?.reply({ code: status.UNAVAILABLE });
    await expect(pending).rejects.toMatchObject({ reason: "session-unresolved" });
    expect(asked).toHaveLength(50);
    clock.advance(501);
    const again = sessions.resolve(text, scope, date);
    await asking(51);
    asked.at(-1)?.reply({ code: status.UNAVAILABLE });
    while (clock.pendingTimers() === 0) await new Promise(setImmediate);
    clock.advance(100);
    await asking(52);
    asked.at(-1)?.reply(null, response(1));
    expect((await again).session.accessKeyId).toBe(accessKeyOf(1));
  });

  test.each<[string, Partial<ResolveSessionResponse>]>([
    ["another session", { accessKeyId: accessKeyOf(2) }],
    ["a key that is too short", { signingKey: Buffer.alloc(16) }],
  ])("an answer with %s is not believed", async (_, change) => {
    const text = await token(1);
    const pending = sessions.resolve(text, scope, date);
    await asking(1);
    asked[0]?.reply(null, response(1, change));
    await expect(pending).rejects.toMatchObject({ reason: "session-unresolved" });
    expect(sessions.lookup(text, scope, date)).toBeUndefined();
  });
});

describe("memory", () => {
  test("is bounded: the oldest goes", async () => {
    const texts = await Promise.all([1, 2, 3, 4].map((n) => token(n)));
    for (const [index, text] of texts.entries()) await resolve(index + 1, text);
    expect(sessions.size()).toBe(3);
    expect(texts.map((text) => sessions.lookup(text, scope, date) !== undefined)).toEqual([false, true, true, true]);
  });

  test("expired sessions are swept", async () => {
    const text = await token(1, 900);
    await resolve(1, text);
    clock.advance(900_000);
    sessions.sweep();
    expect(sessions.size()).toBe(0);
  });
});
