/** The calls that the shop is for, and what their sidecars say about them. */
import { request } from "undici";
import type { RunningMesh, SidecarAddresses } from "../../cli/up/run-mesh.ts";
import type { DecisionRecord } from "../../sidecar/inbound/decisions.ts";
import type { CallRecord } from "../../sidecar/outbound/records.ts";
import type { CallEntry } from "./transcript.ts";

interface Hop {
  readonly from: string;
  readonly to: string;
  readonly method: string;
  readonly path: string;
  readonly action: string;
}

interface Visit {
  readonly name: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string | undefined;
  readonly status: number;
  readonly hops: readonly Hop[];
}

const visits: readonly Visit[] = [
  {
    name: "a customer looks at an order",
    method: "GET",
    path: "/orders/1",
    body: undefined,
    status: 200,
    hops: [
      { from: "storefront", to: "orders", method: "GET", path: "/orders/1", action: "orders:GetOrder" },
      { from: "orders", to: "inventory", method: "GET", path: "/items/42", action: "inventory:GetItem" },
    ],
  },
  {
    name: "a customer places an order",
    method: "POST",
    path: "/checkout",
    body: '{"item":"42"}',
    status: 201,
    hops: [
      { from: "storefront", to: "orders", method: "POST", path: "/orders", action: "orders:PlaceOrder" },
      { from: "orders", to: "inventory", method: "POST", path: "/items/42/reservations", action: "inventory:ReserveItem" },
    ],
  },
];

export function sidecarOf(mesh: RunningMesh, name: string): SidecarAddresses {
  const sidecar = mesh.sidecars.get(`shop/${name}`);
  if (!sidecar) throw new Error(`${name} has no sidecar`);
  return sidecar;
}

async function adminView<T>(sidecar: SidecarAddresses, path: string): Promise<T> {
  const response = await request(`http://${sidecar.admin}${path}`);
  return (await response.body.json()) as T;
}

/** Looks at the shop as its customers do, and then at what every hop was decided on. */
export async function* expectedCalls(mesh: RunningMesh): AsyncGenerator<CallEntry> {
  const port = mesh.programs.get("shop/storefront")?.port ?? 0;
  for (const visit of visits) {
    const { method, path, body } = visit;
    const response = await request(`http://127.0.0.1:${port}${path}`, { method, body: body ?? null });
    await response.body.dump();
    for (const hop of visit.hops) yield await describeHop(mesh, visit, hop, response.statusCode);
  }
}

async function describeHop(mesh: RunningMesh, visit: Visit, hop: Hop, customerStatus: number): Promise<CallEntry> {
  const calls = await adminView<CallRecord[]>(sidecarOf(mesh, hop.from), "/calls");
  const call = calls.findLast((each) => each.destination === `${hop.to}.shop` && each.method === hop.method && each.path === hop.path);
  const decisions = await adminView<DecisionRecord[]>(sidecarOf(mesh, hop.to), "/decisions");
  // The sequence that was signed is what the two sidecars' records have in common.
  const decision = decisions.findLast((each) => each.sequence !== "" && each.sequence === call?.sequence);
  return {
    type: "call",
    name: visit.name,
    from: hop.from,
    to: hop.to,
    request: `${hop.method} ${hop.path}`,
    ...describeDecision(decision, call?.status ?? 0),
    addedMs: call && decision && (call.totalMicros - decision.applicationMicros) / 1000,
    totalMs: call && call.totalMicros / 1000,
    expected: `${hop.action} allowed, and ${visit.status} for the customer`,
    ok: decision?.decision === "allow" && decision.action === hop.action && customerStatus === visit.status,
  };
}

/** The parts of an entry that a decision knows. */
export function describeDecision(
  decision: DecisionRecord | undefined,
  status: number,
): Pick<CallEntry, "caller" | "session" | "action" | "resource" | "decision" | "reason" | "statement" | "status"> {
  const statement = decision?.statement;
  return {
    caller: decision?.peer ?? "",
    session: decision?.principal ?? "",
    action: decision?.action ?? "",
    resource: decision?.resource ?? "",
    decision: decision?.decision ?? "none",
    reason: decision?.reason ?? "",
    statement: statement ? `${statement.policy}, statement ${statement.sid ?? statement.index}` : "",
    status,
  };
}

export async function decisionById(sidecar: SidecarAddresses, id: string): Promise<DecisionRecord | undefined> {
  return (await adminView<DecisionRecord | null>(sidecar, `/decisions?id=${encodeURIComponent(id)}`)) ?? undefined;
}
