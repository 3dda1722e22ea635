/** The mesh that hostile requests are made to: one workload that serves services of every tier, and who may call them. */
import { createServer, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import type { AssumeRoleResponse } from "../../common/gen/mesh/v1/token.ts";
import { signByHand, type HandmadeRequest } from "../../examples/shop/intruder.ts";
import type { Identity } from "../../sidecar/tls/profile.ts";
import { firstAnswer, sendTls, tlsOptions, wireText } from "./clients.ts";
import { serviceLinkedRole, startMesh, type TestMesh, type TestSidecar } from "./harness.ts";
import { createPlaneWithSecrets, type PlaneSecrets } from "./secrets.ts";

const yaml = `
apiVersion: countersign.dev/v1
kind: Mesh
spec: { trustDomain: test.example, auditSample: 1 }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: caller, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: target, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: other, namespace: shop }, spec: {} }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: caller, namespace: shop }
spec:
  calls: [target, vault, { service: guarded, actions: [GET] }]
---
{ apiVersion: countersign.dev/v1, kind: Service, metadata: { name: target, namespace: shop }, spec: { ports: [{ port: 80 }] } }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: vault, namespace: shop }
spec: { ports: [{ port: 80 }], tier: critical, identities: [{ serviceAccount: target }] }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: gated, namespace: shop }
spec:
  ports: [{ port: 80 }]
  identities: [{ serviceAccount: target }]
  resourcePolicy:
    Version: "2012-10-17"
    Statement:
      - { Effect: Allow, Principal: "*", Action: "gated:*", Resource: "*", Condition: { StringEquals: { "http:Header/x-gate": open } } }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: guarded, namespace: shop }
spec:
  ports: [{ port: 80 }]
  identities: [{ serviceAccount: target }]
  resourcePolicy:
    Version: "2012-10-17"
    Statement:
      - { Effect: Deny, Principal: "*", Action: "guarded:*", Resource: "arn:mesh:guarded:test.example:shop:/admin*" }
`;

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface HostileMesh {
  readonly mesh: TestMesh;
  readonly secrets: PlaneSecrets;
  readonly target: TestSidecar;
  /** Another instance of `target`. */
  readonly replica: TestSidecar;
  /** Of `caller`, and a session of its service-linked role. */
  readonly caller: Identity;
  readonly session: AssumeRoleResponse;
  /** Of `other`, which may call nothing. */
  readonly other: Identity;
  /** What reached the application of any instance. */
  readonly seen: Seen[];
  /** The application's next answers wait for it. */
  hold(release: Promise<void>): void;
}

export async function startHostileMesh(): Promise<HostileMesh> {
  const secrets = await createPlaneWithSecrets();
  const seen: Seen[] = [];
  let held = Promise.resolve();
  const application = createServer((request, response) => {
    void buffer(request).then(async (body) => {
      seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body: body.toString() });
      await held;
      response.end("from the application");
    });
  });
  const mesh = await startMesh({ yaml, workloads: { caller: {}, target: { application } }, folder: secrets.folder });
  const [replica, caller, other] = await Promise.all([
    mesh.startSidecar("target", { application }),
    mesh.identityOf("caller"),
    mesh.identityOf("other"),
  ]);
  const session = await mesh.sessionOf(caller, serviceLinkedRole("caller"));
  return {
    mesh,
    secrets,
    target: mesh.sidecar("target"),
    replica,
    caller,
    session,
    other,
    seen,
    hold(release) {
      held = release;
    },
  };
}

export interface SignedOptions {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
  /** Service name, by which the request is addressed and scoped. */
  readonly service?: string;
  readonly host?: string;
  readonly scopeService?: string;
  readonly region?: string;
  /** Epoch milliseconds. */
  readonly date?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly credentials?: Pick<AssumeRoleResponse, "accessKeyId" | "secretAccessKey" | "sessionToken">;
}

/** A request that is good but for what the options say. */
export function signed({ mesh, session }: HostileMesh, options: SignedOptions = {}): HandmadeRequest {
  const { method = "GET", path = "/thing", body = "", service = "target", host = service } = options;
  return signByHand(
    { method, host, path, body },
    {
      credentials: options.credentials ?? session,
      region: options.region ?? mesh.region,
      scopeService: options.scopeService ?? `${service}.shop`,
      date: options.date ?? Date.now(),
      headers: options.headers ?? {},
    },
  );
}

export interface Result {
  readonly status: number;
  readonly reason: string;
}

/** Sends bytes to the target's inbound port as the caller. */
export async function send(
  { target, caller }: HostileMesh,
  bytes: string,
  options: { to?: TestSidecar; as?: Identity } = {},
): Promise<Result> {
  const text = await sendTls((options.to ?? target).inbound, tlsOptions(options.as ?? caller), bytes);
  return firstAnswer(text);
}

export async function sendRequest(
  hostile: HostileMesh,
  request: HandmadeRequest,
  options: { to?: TestSidecar; as?: Identity; lines?: readonly string[] } = {},
): Promise<Result> {
  return await send(hostile, wireText(request, options.lines), options);
}
