/** Role sessions of a caller over their life, by a clock that stands still until it is moved. */
import { status } from "@grpc/grpc-js";
import { beforeEach, describe, expect, test } from "vitest";
import type { AssumeRoleRequest, AssumeRoleResponse } from "../../../common/gen/mesh/v1/token.ts";
import { createLogging } from "../../../common/runtime/logger.ts";
import type { ControlPlane } from "../../../sidecar/sync/control-plane.ts";
import { createRoleSessions, type RoleSessions } from "../../../sidecar/sync/role-sessions.ts";
import { createFakeClock, type FakeClock } from "../../fakes/clock.ts";

const role = "arn:mesh:iam:test.example:shop:role/caller";
const minute = 60_000;
const hour = 60 * minute;

type Reply = (error: object | null, response?: AssumeRoleResponse) => void;
interface Asked {
  readonly request: AssumeRoleRequest;
  readonly reply: Reply;
}

let clock: FakeClock;
let asked: Asked[];
let assumed: string[];
let sessions: RoleSessions;

beforeEach(() => {
  clock = createFakeClock();
  asked = [];
  assumed = [];
  const tokens = {
    assumeRole(request: AssumeRoleRequest, _metadata: unknown, _options: unknown, reply: Reply) {
      asked.push({ request, reply });
      return { cancel: () => undefined };
    },
  };
  sessions = createRoleSessions({
    controlPlane: () => ({ tokens }) as unknown as ControlPlane,
    sessionName: "caller-1",
    clock,
    // The middle of the jitter.
    random: () => 0.5,
    log: createLogging({ name: "test", level: "silent" }).logger,
    onAssumed: ({ accessKeyId }) => void assumed.push(accessKeyId),
  });
});

let issued = 0;
/** Answers the question asked last; resolves when that has been taken in. */
async function answer(lifetime = hour): Promise<string> {
  const accessKeyId = `CSGNA${String(++issued).padStart(15, "A")}`;
  asked.at(-1)?.reply(null, {
    accessKeyId,
    secretAccessKey: "secret",
    sessionToken: `token-${issued}`,
    expiresAtSeconds: Math.floor((clock.now() + lifetime) / 1000),
    assumedRoleArn: "arn:mesh:sts:test.example:shop:assumed-role/caller/caller-1",
  });
  await new Promise(setImmediate);
  return accessKeyId;
}

async function refuse(code: status): Promise<void> {
  asked.at(-1)?.reply({ code, details: "no" });
  await new Promise(setImmediate);
}

test("nothing is there before it is asked for, and many who wait ask once", async () => {
  expect(sessions.current(role, 0)).toBeUndefined();
  const waiting = [sessions.ready(role, 0), sessions.ready(role, 0)];
  expect(asked).toHaveLength(1);
  expect(asked[0]?.request).toMatchObject({ roleArn: role, roleSessionName: "caller-1", durationSeconds: 0 });
  const id = await answer();
  expect((await Promise.all(waiting)).map(({ accessKeyId }) => accessKeyId)).toEqual([id, id]);
  expect(sessions.current(role, 0)?.accessKeyId).toBe(id);
  expect(sessions.list()).toHaveLength(1);
  expect(assumed).toEqual([id]);
});

test("a destination that wants a short session has one of its own", async () => {
  void sessions.ready(role, 0);
  await answer();
  expect(sessions.current(role, 900)).toBeUndefined();
  void sessions.ready(role, 900);
  expect(asked[1]?.request.durationSeconds).toBe(900);
  const short = await answer(15 * minute);
  expect(sessions.current(role, 900)?.accessKeyId).toBe(short);
  expect(sessions.current(role, 0)?.accessKeyId).not.toBe(short);
});

describe("renewal", () => {
  test("begins with a call after half of the life, in the background, once", async () => {
    void sessions.ready(role, 0);
    const first = await answer();
    clock.advance(29 * minute);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    expect(asked).toHaveLength(1);
    clock.advance(2 * minute);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    expect(asked).toHaveLength(2);
    const second = await answer();
    expect(sessions.current(role, 0)?.accessKeyId).toBe(second);
  });

  test("that fails is tried again after two seconds, and the session serves until shortly before its end", async () => {
    void sessions.ready(role, 0);
    const first = await answer();
    clock.advance(31 * minute);
    sessions.current(role, 0);
    await refuse(status.DEADLINE_EXCEEDED);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    expect(asked).toHaveLength(2);
    clock.advance(2000);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    expect(asked).toHaveLength(3);
    await refuse(status.DEADLINE_EXCEEDED);
    clock.advance(hour - 31 * minute - 2000 - 5001);
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    clock.advance(2);
    expect(sessions.current(role, 0)).toBeUndefined();
  });
});

test("a refusal is remembered for two seconds", async () => {
  const first = sessions.ready(role, 0);
  first.catch(() => undefined);
  await refuse(status.PERMISSION_DENIED);
  await expect(first).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  await expect(sessions.ready(role, 0)).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  expect(asked).toHaveLength(1);
  clock.advance(2001);
  const again = sessions.ready(role, 0);
  expect(asked).toHaveLength(2);
  const id = await answer();
  expect((await again).accessKeyId).toBe(id);
});

describe("revocation", () => {
  const secondsNow = () => Math.floor(clock.now() / 1000);

  test("replaces what was issued before, and leaves other roles and later sessions alone", async () => {
    void sessions.ready(role, 0);
    await answer();
    void sessions.ready("arn:mesh:iam:test.example:shop:role/other", 0);
    const other = await answer();
    clock.advance(minute);
    sessions.revoke(new Map([[role, secondsNow()]]));
    expect(sessions.current(role, 0)).toBeUndefined();
    expect(sessions.current("arn:mesh:iam:test.example:shop:role/other", 0)?.accessKeyId).toBe(other);
    void sessions.ready(role, 0);
    const anew = await answer();
    expect(sessions.current(role, 0)?.accessKeyId).toBe(anew);
  });

  test("that lies ahead waits for its time, so that nobody asks over and over", async () => {
    void sessions.ready(role, 0);
    const first = await answer();
    sessions.revoke(new Map([[role, secondsNow() + 60]]));
    expect(sessions.current(role, 0)?.accessKeyId).toBe(first);
    clock.advance(minute);
    expect(sessions.current(role, 0)).toBeUndefined();
  });
});

test("a signing key is derived once a day and service", async () => {
  void sessions.ready(role, 0);
  await answer();
  const credentials = sessions.current(role, 0);
  const key = credentials?.signingKey("20260115", "test-example", "target.shop");
  expect(credentials?.signingKey("20260115", "test-example", "target.shop")).toBe(key);
  expect(credentials?.signingKey("20260115", "test-example", "other.shop")).not.toBe(key);
  expect(credentials?.signingKey("20260116", "test-example", "target.shop")?.equals(key!)).toBe(false);
});
