/** The mesh of the soak: one caller, and an application with three services: plain, gated by a policy that flips, gRPC. */

export const trustDomain = "soak.example";
export const namespace = "soak";

/** What the gate does: let pass, refuse by a Deny, refuse for want of an Allow. */
export const gateStates = ["open", "denied", "not-allowed"] as const;
export type GateState = (typeof gateStates)[number];

/** What a call to the gate is answered with in each. */
export const gateAnswers: Readonly<Record<GateState, { readonly status: number; readonly reason: string }>> = {
  open: { status: 200, reason: "" },
  denied: { status: 403, reason: "explicit-deny" },
  "not-allowed": { status: 403, reason: "no-allow" },
};

function resource(kind: string, name: string, spec: object): string {
  const metadata = kind === "Mesh" ? { name } : { name, namespace };
  return JSON.stringify({ apiVersion: "countersign.dev/v1", kind, metadata, spec });
}

/** JSON documents. Certificates have the shortest life there is. */
export function meshResources(httpPort: number, grpcPort: number): string[] {
  return [
    resource("Mesh", "mesh", { trustDomain, svidLifetimeSeconds: 300, sessionLifetimeSeconds: 900 }),
    resource("Workload", "caller", {}),
    resource("Workload", "app", {}),
    resource("Service", "app", { ports: [{ port: 80, targetPort: httpPort }] }),
    resource("Service", "talk", {
      identities: [{ serviceAccount: "app" }],
      ports: [{ port: 80, targetPort: grpcPort, protocol: "grpc" }],
    }),
    ...gateResources("open", httpPort),
  ];
}

/** Whatever changes with the gate. The tier has every decision recorded. */
export function gateResources(state: GateState, httpPort: number): string[] {
  const deny = { Version: "2012-10-17", Statement: [{ Effect: "Deny", Principal: "*", Action: "gate:Pass", Resource: "*" }] };
  return [
    resource("Service", "caller", {
      calls: ["app", "talk", { service: "gate", actions: [state === "not-allowed" ? "Leave" : "Pass"] }],
    }),
    resource("Service", "gate", {
      identities: [{ serviceAccount: "app" }],
      ports: [{ port: 80, targetPort: httpPort }],
      operations: { Pass: "GET /pass/{number}", Leave: "GET /leave" },
      tier: "critical",
      ...(state === "denied" ? { resourcePolicy: deny } : {}),
    }),
  ];
}
