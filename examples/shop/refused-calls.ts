/** Calls that must fail, each made by hand by somebody who has more than an outsider would: what refuses them is shown. */
import { connect } from "node:net";
import { request } from "undici";
import type { RunningMesh } from "../../cli/up/run-mesh.ts";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { addressFromString } from "../../common/runtime/environment.ts";
import { regionOfTrustDomain } from "../../common/session/region.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { decisionById, describeDecision, sidecarOf } from "./expected-calls.ts";
import { identityOfAnotherAuthority } from "./foreign-authority.ts";
import { assumeRole, becomeWorkload, sendOverTls, signByHand, targetOf, type HandmadeRequest, type Outcome } from "./intruder.ts";
import type { CallEntry } from "./transcript.ts";

/** What the caller of a hand-made call has to work with. */
interface Loot {
  readonly mesh: RunningMesh;
  /** A certificate and a session of the storefront itself: the best a thief could have. */
  readonly storefront: Identity;
  readonly session: AssumeRoleResponse;
  /** A certificate of another workload of the mesh. */
  readonly intruder: Identity;
}

interface Attempt {
  readonly name: string;
  readonly from: string;
  readonly method: string;
  readonly path: string;
  /** The reason code that must come back; for a connection that must not come to be, `closed`. */
  readonly expected: string;
  readonly send: (loot: Loot) => Promise<Outcome>;
}

const host = "orders";
const minute = 60_000;
const order = { method: "GET", host, path: "/orders/1", body: "" };
const placement = { method: "POST", host, path: "/orders", body: '{"item":"42"}' };

function signed(loot: Loot, base: Omit<HandmadeRequest, "headers">, change: { date?: number; headers?: Record<string, string> } = {}) {
  return signByHand(base, {
    credentials: loot.session,
    region: regionOfTrustDomain(loot.mesh.trustDomain),
    scopeService: "orders.shop",
    date: change.date ?? Date.now(),
    headers: change.headers ?? {},
  });
}

const inboundOf = (loot: Loot) => sidecarOf(loot.mesh, "orders").inbound;

/** As a sidecar numbers its calls, so that the receiver can tell a second copy. */
function numbered(loot: Loot): Record<string, string> {
  return {
    "x-countersign-sequence": `${"thief".repeat(3)}:${Date.now()}`,
    "x-countersign-audience": sidecarOf(loot.mesh, "orders").instance,
  };
}

const attempts: readonly Attempt[] = [
  {
    name: "a call that the role does not allow",
    from: "storefront",
    method: "DELETE",
    path: "/items/42",
    expected: "no-allow",
    // Through the storefront's own sidecar, as the application itself would call: signed and numbered like any other.
    async send({ mesh }) {
      const outbound = sidecarOf(mesh, "storefront").outbound;
      const response = await request(`http://${outbound}/items/42`, { method: "DELETE", headers: { host: "inventory" } });
      await response.body.dump();
      const header = (name: string) => String(response.headers[name] ?? "");
      return { status: response.statusCode, reason: header("x-countersign-reason"), decision: header("x-countersign-decision"), error: "" };
    },
  },
  {
    name: "no signature",
    from: "storefront",
    method: order.method,
    path: order.path,
    expected: "missing-signature",
    send: (loot) => sendOverTls(inboundOf(loot), loot.storefront, { ...order, headers: {} }),
  },
  {
    name: "a stolen session, used by another workload",
    from: "intruder",
    method: order.method,
    path: order.path,
    expected: "identity-mismatch",
    send: (loot) => sendOverTls(inboundOf(loot), loot.intruder, signed(loot, order)),
  },
  {
    name: "the same signed bytes a second time",
    from: "storefront",
    method: order.method,
    path: order.path,
    expected: "replayed",
    async send(loot) {
      const once = signed(loot, order, { headers: numbered(loot) });
      const first = await sendOverTls(inboundOf(loot), loot.storefront, once);
      if (first.status !== 200) return { ...first, reason: `the first copy was refused: ${first.reason}` };
      return await sendOverTls(inboundOf(loot), loot.storefront, once);
    },
  },
  {
    name: "a body altered after signing",
    from: "storefront",
    method: placement.method,
    path: placement.path,
    expected: "body-mismatch",
    send: (loot) => sendOverTls(inboundOf(loot), loot.storefront, { ...signed(loot, placement), body: '{"item":"43"}' }),
  },
  {
    name: "a path altered after signing",
    from: "storefront",
    method: order.method,
    path: "/orders/2",
    expected: "signature-mismatch",
    send: (loot) => sendOverTls(inboundOf(loot), loot.storefront, { ...signed(loot, order), path: "/orders/2" }),
  },
  {
    name: "signed ten minutes ago",
    from: "storefront",
    method: order.method,
    path: order.path,
    expected: "request-expired",
    send: (loot) => sendOverTls(inboundOf(loot), loot.storefront, signed(loot, order, { date: Date.now() - 10 * minute })),
  },
  {
    name: "plaintext, straight to the inbound port",
    from: "outside",
    method: order.method,
    path: order.path,
    expected: "closed",
    send: (loot) => sendPlaintext(inboundOf(loot), `${order.method} ${order.path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`),
  },
  {
    name: "a certificate of another authority",
    from: "outside",
    method: order.method,
    path: order.path,
    expected: "closed",
    async send(loot) {
      const foreign = await identityOfAnotherAuthority(loot.storefront);
      return await sendOverTls(inboundOf(loot), foreign, signed(loot, order));
    },
  },
];

/** Sends bytes without TLS and waits for the end of the connection. */
function sendPlaintext(address: string, text: string): Promise<Outcome> {
  const target = addressFromString(address);
  if (!target) throw new TypeError(`${address} is not an address`);
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect(target.port, target.host, () => socket.write(text));
    // A TLS alert is all that may come back.
    socket.on("data", (chunk) => (answer += chunk.toString("latin1")));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
      resolve({ status, reason: "", decision: "", error: "closed" });
    });
  });
}

async function gatherLoot(mesh: RunningMesh, signal: AbortSignal): Promise<Loot> {
  const target = await targetOf(mesh.controlPlane.grpc, mesh.trustDomain, mesh.controlPlane.bundle);
  const become = async (workload: string) => {
    const { token } = await mesh.admin.createJoinToken("shop", workload);
    return await becomeWorkload(target, token, signal);
  };
  const [storefront, intruder] = [await become("storefront"), await become("intruder")];
  const role = `arn:mesh:iam:${mesh.trustDomain}:shop:role/service-linked/storefront`;
  return { mesh, storefront, intruder, session: await assumeRole(target, storefront, role, "thief") };
}

export async function* refusedCalls(mesh: RunningMesh, signal: AbortSignal): AsyncGenerator<CallEntry> {
  const loot = await gatherLoot(mesh, signal);
  for (const attempt of attempts) {
    const { status, reason, decision: id, error } = await attempt.send(loot);
    const to = attempt.path.startsWith("/items") ? "inventory" : "orders";
    const decision = id === "" ? undefined : await decisionById(sidecarOf(mesh, to), id);
    const closed = status === 0;
    yield {
      type: "call",
      name: attempt.name,
      from: attempt.from,
      to,
      request: `${attempt.method} ${attempt.path}`,
      ...describeDecision(decision, status),
      ...(decision ? {} : { decision: closed ? "refused" : "allow", reason: closed ? `the TLS handshake (${error})` : reason }),
      addedMs: undefined,
      totalMs: undefined,
      expected: attempt.expected,
      ok: attempt.expected === "closed" ? closed : decision?.decision === "deny" && reason === attempt.expected,
    };
  }
}
