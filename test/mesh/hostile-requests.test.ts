/** Requests by somebody who holds a certificate of the mesh and means harm, at the real inbound port (threats.md, rows 6 to 15). */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parseAuthorization } from "../../common/sigv4/authorization.ts";
import type { HandmadeRequest } from "../../examples/shop/intruder.ts";
import { callHttp2, openHttp2 } from "./clients.ts";
import { send, sendRequest, signed, startHostileMesh, type HostileMesh, type Result, type SignedOptions } from "./hostile-mesh.ts";
import { serviceLinkedRole } from "./harness.ts";
import { forgeSession, type Forgery } from "./secrets.ts";

let hostile: HostileMesh;
beforeAll(async () => {
  hostile = await startHostileMesh();
});
afterAll(async () => hostile?.mesh.stop());
beforeEach(() => {
  hostile.seen.length = 0;
});

/** The same request over HTTP/2. */
async function sendHttp2(request: HandmadeRequest, identity = hostile.caller): Promise<Result> {
  const session = openHttp2(hostile.target.inbound, identity);
  try {
    const head = { ":method": request.method, ":path": request.path, ":authority": request.host, ":scheme": "https" };
    const { status, reason } = await callHttp2(session, { ...head, ...request.headers }, request.body);
    return { status, reason };
  } finally {
    session.close();
  }
}

interface BothWays {
  readonly http1: Result;
  readonly http2: Result;
  /** Requests that reached the application. */
  readonly delivered: number;
}

/** Over both protocols, because each has a way of its own to the same judgement. */
async function bothWays(request: () => HandmadeRequest): Promise<BothWays> {
  return { http1: await sendRequest(hostile, request()), http2: await sendHttp2(request()), delivered: hostile.seen.length };
}

function refused(status: number, reason: string): BothWays {
  return { http1: { status, reason }, http2: { status, reason }, delivered: 0 };
}

const claimOf = (request: HandmadeRequest) => parseAuthorization(request.headers["authorization"] ?? "").claim;

function withAuthorization(request: HandmadeRequest, change: (value: string) => string): HandmadeRequest {
  return { ...request, headers: { ...request.headers, authorization: change(request.headers["authorization"] ?? "") } };
}

function without(request: HandmadeRequest, name: string): HandmadeRequest {
  const { [name]: _, ...headers } = request.headers;
  return { ...request, headers };
}

test("a request made by hand is let in when everything is right", async () => {
  expect(await sendRequest(hostile, signed(hostile, { method: "POST", path: "/x?b=2&a=1", body: "hello" }))).toMatchObject({ status: 200 });
  expect(await sendHttp2(signed(hostile, { method: "POST", path: "/x?b=2&a=1", body: "hello" }))).toMatchObject({ status: 200 });
  expect(hostile.seen).toMatchObject([
    { method: "POST", url: "/x?b=2&a=1", body: "hello" },
    { method: "POST", url: "/x?b=2&a=1", body: "hello" },
  ]);
});

describe("row 6: signatures that cannot be checked are 401", () => {
  test("no signature", async () => {
    expect(await bothWays(() => ({ ...signed(hostile), headers: {} }))).toEqual(refused(401, "missing-signature"));
  });

  test("another scheme", async () => {
    expect(await bothWays(() => withAuthorization(signed(hostile), () => "Bearer token"))).toEqual(refused(401, "missing-signature"));
  });

  test("two Authorization fields", async () => {
    const request = signed(hostile);
    const line = `authorization: ${request.headers["authorization"] ?? ""}`;
    expect(await sendRequest(hostile, request, { lines: [line] })).toEqual({ status: 401, reason: "duplicate-signature" });
    expect(await sendRequest(hostile, request, { lines: ["authorization: Basic eA=="] })).toEqual({
      status: 401,
      reason: "duplicate-signature",
    });
    expect(hostile.seen).toEqual([]);
  });

  test.each(["X-Amz-Signature=00", "x-amz-credential=a&X-Amz-Credential=b", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Signat%75re=00"])(
    "query authentication beside the header's: %s",
    async (query) => {
      expect(await bothWays(() => signed(hostile, { path: `/thing?${query}` }))).toEqual(refused(401, "duplicate-signature"));
    },
  );

  test.each(["X-Amz-Signature=00", "X-Amz-Credential=a&X-Amz-Credential=b"])("query authentication alone: %s", async (query) => {
    expect(await bothWays(() => without(signed(hostile, { path: `/thing?${query}` }), "authorization"))).toEqual(
      refused(401, "missing-signature"),
    );
  });

  test.each<[string, (value: string) => string]>([
    ["no signature part", (value) => value.replace(/, Signature=.*/, "")],
    ["an upper-case signature", (value) => value.replace(/Signature=.*/, (part) => part.toUpperCase().replace("SIGNATURE", "Signature"))],
    ["a signature cut short", (value) => value.slice(0, -1)],
    ["the credential twice", (value) => value.replace("SignedHeaders=", "Credential=a/20260101/r/s/aws4_request, SignedHeaders=")],
    ["a part that nobody knows", (value) => value.replace("SignedHeaders=", "Extra=1, SignedHeaders=")],
    ["signed headers out of order", (value) => value.replace("host;x-amz-content-sha256", "x-amz-content-sha256;host")],
    ["a signed header twice", (value) => value.replace("host;", "host;host;")],
    ["no access key id", (value) => value.replace(/Credential=[^/]+/, "Credential=")],
    ["a scope of three parts", (value) => value.replace("/aws4_request", "")],
  ])("an Authorization that is not well formed: %s", async (_, change) => {
    expect(await bothWays(() => withAuthorization(signed(hostile), change))).toEqual(refused(401, "malformed-signature"));
  });

  test("no session token, two of them, two dates", async () => {
    const request = signed(hostile);
    expect(
      await bothWays(() =>
        withAuthorization(without(request, "x-amz-security-token"), (value) => value.replace(";x-amz-security-token", "")),
      ),
    ).toEqual(refused(401, "malformed-signature"));
    for (const name of ["x-amz-security-token", "x-amz-date"]) {
      const lines = [`${name}: ${request.headers[name] ?? ""}`];
      expect(await sendRequest(hostile, request, { lines })).toEqual({ status: 401, reason: "malformed-signature" });
    }
  });
});

describe("row 7: signatures of something else are 403", () => {
  const mismatch: [string, (request: HandmadeRequest) => HandmadeRequest][] = [
    ["method", (request) => ({ ...request, method: "DELETE" })],
    ["path", (request) => ({ ...request, path: "/other" })],
    ["query value", (request) => ({ ...request, path: "/thing?a=2" })],
    ["query name", (request) => ({ ...request, path: "/thing?b=1" })],
    ["query, one more", (request) => ({ ...request, path: "/thing?a=1&b=1" })],
    ["query, none", (request) => ({ ...request, path: "/thing" })],
    ["host, by another name of the same service", (request) => ({ ...request, host: "target.shop" })],
    ["signed header", (request) => ({ ...request, headers: { ...request.headers, "x-mine": "changed" } })],
    ["access key id", (request) => withAuthorization(request, (value) => value.replace(/Credential=CSGN./, "Credential=CSGN2"))],
    ["signature", (request) => withAuthorization(request, (value) => value.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")))],
    ["signed headers, one left out", (request) => withAuthorization(request, (value) => value.replace(";x-mine", ""))],
    [
      "signed headers, one more",
      (request) =>
        withAuthorization({ ...request, headers: { ...request.headers, "x-other": "1" } }, (value) =>
          value.replace(";x-mine", ";x-mine;x-other"),
        ),
    ],
  ];
  test.each(mismatch)("another %s", async (_, change) => {
    const request = () => change(signed(hostile, { path: "/thing?a=1", headers: { "x-mine": "value" } }));
    const { reason } = await sendRequest(hostile, request());
    expect(["signature-mismatch", "session-invalid"]).toContain(reason);
    expect(await bothWays(request)).toEqual(refused(403, reason));
  });

  test("another body", async () => {
    expect(await bothWays(() => ({ ...signed(hostile, { method: "POST", body: "mine" }), body: "your" }))).toEqual(
      refused(403, "body-mismatch"),
    );
    expect(await bothWays(() => ({ ...signed(hostile, { method: "POST", body: "mine" }), body: "mine and more" }))).toEqual(
      refused(403, "body-mismatch"),
    );
    expect(await bothWays(() => ({ ...signed(hostile, { method: "POST", body: "mine" }), body: "" }))).toEqual(
      refused(403, "body-mismatch"),
    );
    expect(await bothWays(() => ({ ...signed(hostile, { method: "POST" }), body: "smuggled" }))).toEqual(refused(403, "body-mismatch"));
  });

  test("the body's hash altered to fit another body", async () => {
    const good = () => signed(hostile, { method: "POST", body: "mine" });
    expect(await bothWays(() => ({ ...good(), headers: { ...good().headers, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } }))).toEqual(
      refused(403, "signature-mismatch"),
    );
  });

  test.each(["x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-countersign-sequence", "x-countersign-audience"])(
    "%s is there and not signed",
    async (name) => {
      const headers = { "x-countersign-sequence": "instance1:1", "x-countersign-audience": hostile.target.instance };
      expect(await bothWays(() => withAuthorization(signed(hostile, { headers }), (value) => value.replace(`;${name}`, "")))).toEqual(
        refused(403, "unsigned-header"),
      );
    },
  );

  test("a header is said to be signed that is not there", async () => {
    expect(await bothWays(() => without(signed(hostile, { headers: { "x-mine": "1" } }), "x-mine"))).toEqual(
      refused(403, "unsigned-header"),
    );
  });

  test("a signed header sent a second time", async () => {
    const request = signed(hostile, { headers: { "x-mine": "1" } });
    expect(await sendRequest(hostile, request, { lines: ["x-mine: 2"] })).toEqual({ status: 403, reason: "signature-mismatch" });
  });
});

describe("row 8: of another time, place or algorithm is 403", () => {
  const minute = 60_000;
  test.each<[string, () => SignedOptions, string]>([
    ["six minutes ago", () => ({ date: Date.now() - 6 * minute }), "request-expired"],
    ["six minutes ahead", () => ({ date: Date.now() + 6 * minute }), "request-in-future"],
    ["for another service", () => ({ scopeService: "caller.shop" }), "wrong-scope"],
    ["for another service that the same workload serves", () => ({ scopeService: "vault.shop" }), "wrong-scope"],
    ["for the same service of another namespace", () => ({ scopeService: "target.other" }), "wrong-scope"],
    ["for another region", () => ({ region: "us-east-1" }), "wrong-scope"],
  ])("signed %s", async (_, options, reason) => {
    expect(await bothWays(() => signed(hostile, options()))).toEqual(refused(403, reason));
  });

  test("within the five minutes it is let in", async () => {
    expect(await sendRequest(hostile, signed(hostile, { date: Date.now() - 4 * minute }))).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, signed(hostile, { date: Date.now() + 4 * minute }))).toMatchObject({ status: 200 });
  });

  test("a scope of another day than the request's date", async () => {
    expect(await bothWays(() => withAuthorization(signed(hostile), (value) => value.replace(/\/\d{8}\//, "/20200101/")))).toEqual(
      refused(403, "wrong-scope"),
    );
  });

  test("a scope of another terminator", async () => {
    expect(await bothWays(() => withAuthorization(signed(hostile), (value) => value.replace("aws4_request", "aws5_request")))).toEqual(
      refused(403, "wrong-scope"),
    );
  });

  test.each(["AWS4-HMAC-SHA512", "AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA256-PAYLOAD", "aws4-hmac-sha256"])(
    "an algorithm other than ours: %s",
    async (algorithm) => {
      expect(await bothWays(() => withAuthorization(signed(hostile), (value) => value.replace("AWS4-HMAC-SHA256", algorithm)))).toEqual(
        refused(403, "unsupported-algorithm"),
      );
    },
  );
});

describe("row 9: session tokens that are not the control plane's are 403", () => {
  const forged = async (forgery: Forgery) =>
    signed(hostile, {
      credentials: await forgeSession(hostile.secrets.epoch, hostile.caller.spiffeId, serviceLinkedRole("caller"), forgery),
    });
  const seconds = () => Math.floor(Date.now() / 1000);

  test("the forger's own session is good when nothing is changed", async () => {
    expect(await sendRequest(hostile, await forged({}))).toMatchObject({ status: 200 });
  });

  test.each<[string, () => Forgery, string]>([
    ["expired", () => ({ claims: { iat: seconds() - 1000, exp: seconds() - 100 } }), "session-expired"],
    ["alg none", () => ({ signedBy: "none" }), "session-invalid"],
    ["HMAC by the public key", () => ({ signedBy: "public" }), "session-invalid"],
    ["a key id that nobody knows", () => ({ header: { kid: "nobody" } }), "session-invalid"],
    ["no key id", () => ({ header: { kid: undefined } }), "session-invalid"],
    ["another type of token", () => ({ header: { typ: "JWT" } }), "session-invalid"],
    ["no audience", () => ({ claims: { aud: undefined } }), "session-invalid"],
    ["another audience", () => ({ claims: { aud: "mesh/other.example" } }), "session-invalid"],
    ["another issuer", () => ({ claims: { iss: "other.example" } }), "session-invalid"],
    ["no expiry", () => ({ claims: { exp: undefined } }), "session-invalid"],
    ["bound to nobody", () => ({ claims: { cnf: undefined } }), "session-invalid"],
    ["issued in the future", () => ({ claims: { iat: seconds() + 3600, exp: seconds() + 7200 } }), "session-invalid"],
    ["a claim that nobody knows", () => ({ claims: { admin: true } }), "session-invalid"],
    ["of a role of another trust domain", () => ({ claims: { sub: "arn:mesh:iam:other.example:shop:role/admin" } }), "session-invalid"],
  ])("%s", async (_, forgery, reason) => {
    const request = await forged(forgery());
    expect(await bothWays(() => request)).toEqual(refused(403, reason));
  });

  test("a claim altered under the genuine signature", async () => {
    const [header = "", payload = "", signature = ""] = hostile.session.sessionToken.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
    const altered = Buffer.from(JSON.stringify({ ...claims, exp: seconds() + 40_000 })).toString("base64url");
    const credentials = { ...hostile.session, sessionToken: `${header}.${altered}.${signature}` };
    expect(await bothWays(() => signed(hostile, { credentials }))).toEqual(refused(403, "session-invalid"));
  });

  test("a genuine token with another session's key", async () => {
    const mine = await forgeSession(hostile.secrets.epoch, hostile.caller.spiffeId, serviceLinkedRole("caller"));
    const credentials = { ...mine, sessionToken: hostile.session.sessionToken };
    expect(await bothWays(() => signed(hostile, { credentials }))).toEqual(refused(403, "session-invalid"));
    const guessed = { ...hostile.session, secretAccessKey: mine.secretAccessKey };
    expect(await bothWays(() => signed(hostile, { credentials: guessed }))).toEqual(refused(403, "signature-mismatch"));
  });

  test("what is no token at all", async () => {
    for (const sessionToken of ["x", "a.b.c", "..", `${"a".repeat(9000)}.b.c`]) {
      expect(await bothWays(() => signed(hostile, { credentials: { ...hostile.session, sessionToken } }))).toEqual(
        refused(403, "session-invalid"),
      );
    }
  });
});

test("row 10: a session used from another workload's certificate is identity-mismatch", async () => {
  expect(await sendRequest(hostile, signed(hostile), { as: hostile.other })).toEqual({ status: 403, reason: "identity-mismatch" });
  expect(await sendHttp2(signed(hostile), hostile.other)).toEqual({ status: 403, reason: "identity-mismatch" });
  expect(hostile.seen).toEqual([]);
});

describe("row 11: the same signed bytes twice", () => {
  let n = 0;
  const numbered = () => ({
    "x-countersign-sequence": `thiefthiefthief0:${++n}`,
    "x-countersign-audience": hostile.target.instance,
  });

  test("to the same replica are replayed, on the same connection, on another, by another protocol", async () => {
    const request = signed(hostile, { headers: numbered() });
    expect(await sendRequest(hostile, request)).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, request)).toEqual({ status: 403, reason: "replayed" });
    expect(await sendHttp2(request)).toEqual({ status: 403, reason: "replayed" });
    expect(hostile.seen).toHaveLength(1);
  });

  test("to another replica are wrong-audience", async () => {
    const request = signed(hostile, { headers: numbered() });
    expect(await sendRequest(hostile, request, { to: hostile.replica })).toEqual({ status: 403, reason: "wrong-audience" });
    expect(await sendRequest(hostile, request)).toMatchObject({ status: 200 });
  });

  test("a sequence without an audience would pass at every replica once", async () => {
    const { "x-countersign-sequence": sequence } = numbered();
    expect(await bothWays(() => signed(hostile, { headers: { "x-countersign-sequence": sequence } }))).toEqual(
      refused(403, "wrong-audience"),
    );
  });

  test.each(["x", "instance1:", ":1", "instance1:-1", "instance1:1.5", "instance1:0x1", "instance1:99999999999999999999"])(
    "a sequence that is none: %j",
    async (sequence) => {
      const headers = { ...numbered(), "x-countersign-sequence": sequence };
      const { status, reason } = await sendRequest(hostile, signed(hostile, { headers }));
      expect({ status, reason }).toEqual({ status: 401, reason: "malformed-signature" });
      expect(hostile.seen).toEqual([]);
    },
  );

  test("a number far behind the window is refused, and one ahead moves it", async () => {
    const at = (number: number) =>
      signed(hostile, {
        headers: { "x-countersign-sequence": `thiefthiefthief1:${number}`, "x-countersign-audience": hostile.target.instance },
      });
    expect(await sendRequest(hostile, at(5000))).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, at(4999))).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, at(3000))).toEqual({ status: 403, reason: "replayed" });
  });

  test("without a sequence: a critical service remembers the signatures of foreign clients, a standard one does not", async () => {
    const critical = signed(hostile, { service: "vault" });
    expect(await sendRequest(hostile, critical)).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, critical)).toEqual({ status: 403, reason: "replayed" });
    const standard = signed(hostile);
    expect(await sendRequest(hostile, standard)).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, standard)).toMatchObject({ status: 200 });
  });
});

describe("row 13: bodies that no signature covers", () => {
  const unsigned = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };

  test("UNSIGNED-PAYLOAD to a critical service is 403", async () => {
    const request = () => withPayloadHash({ service: "vault", method: "POST", body: "anything" }, unsigned["x-amz-content-sha256"]);
    expect(await bothWays(request)).toEqual(refused(403, "unsigned-payload"));
    expect(await bothWays(() => withPayloadHash({ service: "vault" }, unsigned["x-amz-content-sha256"]))).toEqual(
      refused(403, "unsigned-payload"),
    );
  });

  test("UNSIGNED-PAYLOAD to a standard service is let in, inside mutual TLS as it is", async () => {
    const request = withPayloadHash({ method: "POST", body: "anything" }, unsigned["x-amz-content-sha256"]);
    expect(await sendRequest(hostile, request)).toMatchObject({ status: 200 });
    expect(hostile.seen[0]?.body).toBe("anything");
  });

  test.each(["target", "vault"])("STREAMING-UNSIGNED-PAYLOAD-TRAILER to %s is 403", async (service) => {
    expect(
      await bothWays(() => withPayloadHash({ service, method: "POST", body: "anything" }, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")),
    ).toEqual(refused(403, "unsigned-payload"));
  });

  test("a hash that is none is 401", async () => {
    expect(await bothWays(() => withPayloadHash({ method: "POST", body: "anything" }, "sha256"))).toEqual(
      refused(401, "malformed-signature"),
    );
  });
});

/** Signed with that in `x-amz-content-sha256`, as the signer does that says so. */
function withPayloadHash(options: SignedOptions, value: string): HandmadeRequest {
  const { headers = {} } = options;
  return signed(hostile, { ...options, headers: { ...headers, "x-amz-content-sha256": value } });
}

test("row 14: identity headers of a client never reach the application, signed or not", async () => {
  const claims = {
    "x-countersign-principal": "arn:mesh:sts:test.example:shop:assumed-role/admin/me",
    "x-countersign-peer": "spiffe://test.example/ns/shop/sa/admin",
    "x-countersign-made-up": "admin",
    "x-forwarded-client-cert": "By=spiffe://test.example/x;URI=spiffe://test.example/ns/shop/sa/admin",
  };
  expect(await sendRequest(hostile, signed(hostile, { headers: claims }))).toMatchObject({ status: 200 });
  const lines = Object.entries(claims).map(([name, value]) => `${name}: ${value}`);
  expect(await sendRequest(hostile, signed(hostile), { lines })).toMatchObject({ status: 200 });
  expect(await sendHttp2(signed(hostile, { headers: claims }))).toMatchObject({ status: 200 });
  expect(hostile.seen).toHaveLength(3);
  for (const { headers } of hostile.seen) {
    expect(headers["x-countersign-principal"]).toBe("arn:mesh:sts:test.example:shop:assumed-role/service-linked/caller/by-hand");
    expect(headers["x-countersign-peer"]).toBe("spiffe://test.example/ns/shop/sa/caller");
    expect(headers["x-forwarded-client-cert"]).toBe(
      "By=spiffe://test.example/ns/shop/sa/target;URI=spiffe://test.example/ns/shop/sa/caller",
    );
    expect(JSON.stringify(headers)).not.toContain("admin");
  }
});

test("what Connection names stays on its hop, signed or not", async () => {
  const request = signed(hostile, { headers: { "x-hop": "mine", "x-end": "to-end" } });
  expect(await sendRequest(hostile, request, { lines: ["connection: x-hop"] })).toMatchObject({ status: 200 });
  expect(hostile.seen[0]?.headers).toMatchObject({ "x-end": "to-end" });
  expect(hostile.seen[0]?.headers).not.toHaveProperty("x-hop");
  // It must not take away what the sidecar itself says.
  expect(await sendRequest(hostile, signed(hostile), { lines: ["connection: x-countersign-principal"] })).toMatchObject({ status: 200 });
  expect(hostile.seen[1]?.headers).toHaveProperty("x-countersign-principal");
});

test("an Authorization carried for the application is believed only when it was signed", async () => {
  const name = "x-countersign-authorization";
  expect(await sendRequest(hostile, signed(hostile, { headers: { [name]: "Bearer mine" } }))).toMatchObject({ status: 200 });
  expect(await sendRequest(hostile, signed(hostile), { lines: [`${name}: Bearer theirs`] })).toMatchObject({ status: 200 });
  expect(hostile.seen.map(({ headers }) => headers.authorization)).toEqual(["Bearer mine", undefined]);
});

describe("row 15: a header in a condition", () => {
  test("counts when it is signed", async () => {
    expect(await sendRequest(hostile, signed(hostile, { service: "gated", headers: { "x-gate": "open" } }))).toMatchObject({ status: 200 });
    expect(await sendRequest(hostile, signed(hostile, { service: "gated", headers: { "x-gate": "shut" } }))).toEqual({
      status: 403,
      reason: "no-allow",
    });
  });

  test("is treated as absent when it is not", async () => {
    const request = signed(hostile, { service: "gated" });
    expect(await sendRequest(hostile, request, { lines: ["x-gate: open"] })).toEqual({ status: 403, reason: "no-allow" });
    expect(await sendHttp2({ ...request, headers: { ...request.headers, "x-gate": "open" } })).toEqual({ status: 403, reason: "no-allow" });
    expect(hostile.seen).toEqual([]);
  });
});

test("the claim that these tests alter is the one that is checked", () => {
  expect(claimOf(signed(hostile)).signedHeaders).toBe("host;x-amz-content-sha256;x-amz-date;x-amz-security-token");
});

test("a refusal names its reason and a decision, and nothing of the policy", async () => {
  const before = hostile.target.logs.length;
  const text = await send(hostile, "GET / HTTP/1.1\r\nhost: target\r\nconnection: close\r\n\r\n");
  expect(text).toEqual({ status: 401, reason: "missing-signature" });
  const lines = hostile.target.logs.slice(before).filter((line) => line["event"] === "decision");
  expect(lines).toMatchObject([{ decision: "deny", reason: "missing-signature", status: 401, peer: hostile.caller.spiffeId }]);
});
