/** A real control plane in a folder of its own, ports chosen by the kernel, and real gRPC clients for it. */
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { Metadata, credentials } from "@grpc/grpc-js";
import type { CallOptions, ChannelCredentials, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { AdminServiceClient } from "../../common/gen/mesh/v1/admin.ts";
import type {
  ApplyRequest,
  ApplyResponse,
  CreateJoinTokenRequest,
  CreateJoinTokenResponse,
  DeleteResourceRequest,
  DeleteResourceResponse,
  GetResourcesRequest,
  GetResourcesResponse,
  GetStatusRequest,
  GetStatusResponse,
} from "../../common/gen/mesh/v1/admin.ts";
import { IdentityServiceClient } from "../../common/gen/mesh/v1/identity.ts";
import type { IssueSvidRequest, IssueSvidResponse } from "../../common/gen/mesh/v1/identity.ts";
import { MeshServiceClient } from "../../common/gen/mesh/v1/mesh.ts";
import type { Snapshot, WatchRequest, WatchResponse } from "../../common/gen/mesh/v1/mesh.ts";
import { TokenServiceClient } from "../../common/gen/mesh/v1/token.ts";
import type {
  AssumeRoleRequest,
  AssumeRoleResponse,
  GetCallerIdentityRequest,
  GetCallerIdentityResponse,
  ResolveSessionRequest,
  ResolveSessionResponse,
} from "../../common/gen/mesh/v1/token.ts";
import { readResources } from "../../common/resources/read.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Environment } from "../../common/runtime/environment.ts";
import { createCsr } from "../../common/x509/csr.ts";
import { certificatesToPem } from "../../common/x509/pem.ts";
import { runControlPlane } from "../../control-plane/main.ts";
import type { Ready } from "../../control-plane/main.ts";

type StartUnary<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => unknown;

/** A unary method as a function that returns a promise, with a deadline. */
function unary<Request, Response>(start: StartUnary<Request, Response>): (request: Request) => Promise<Response> {
  return async (request) => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    start(request, new Metadata(), { deadline: Date.now() + 10_000 }, (error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
    return await promise;
  };
}

export interface HeldIdentity {
  readonly certificates: readonly Buffer[];
  readonly privateKey: string;
}

function meshClients(address: string, channel: ChannelCredentials) {
  // An IP address is no server name, and Node refuses it as one.
  const settings = { "grpc.use_local_subchannel_pool": 1, "grpc.ssl_target_name_override": "control-plane" };
  const identity = new IdentityServiceClient(address, channel, settings);
  const tokens = new TokenServiceClient(address, channel, settings);
  const mesh = new MeshServiceClient(address, channel, settings);
  return {
    issueSvid: unary<IssueSvidRequest, IssueSvidResponse>((...args) => identity.issueSvid(...args)),
    assumeRole: unary<AssumeRoleRequest, AssumeRoleResponse>((...args) => tokens.assumeRole(...args)),
    resolveSession: unary<ResolveSessionRequest, ResolveSessionResponse>((...args) => tokens.resolveSession(...args)),
    getCallerIdentity: unary<GetCallerIdentityRequest, GetCallerIdentityResponse>((...args) => tokens.getCallerIdentity(...args)),
    watch: () => mesh.watch(),
    close() {
      for (const client of [identity, tokens, mesh]) client.close();
    },
  };
}

export type Clients = ReturnType<typeof meshClients>;

function adminClient(path: string) {
  const admin = new AdminServiceClient(`unix:${path}`, credentials.createInsecure());
  return {
    apply: unary<ApplyRequest, ApplyResponse>((...args) => admin.apply(...args)),
    getResources: unary<GetResourcesRequest, GetResourcesResponse>((...args) => admin.getResources(...args)),
    deleteResource: unary<DeleteResourceRequest, DeleteResourceResponse>((...args) => admin.deleteResource(...args)),
    createJoinToken: unary<CreateJoinTokenRequest, CreateJoinTokenResponse>((...args) => admin.createJoinToken(...args)),
    getStatus: unary<GetStatusRequest, GetStatusResponse>((...args) => admin.getStatus(...args)),
    close() {
      admin.close();
    },
  };
}

export interface Plane {
  readonly folder: string;
  readonly ready: Ready;
  readonly logs: readonly Record<string, unknown>[];
  readonly admin: ReturnType<typeof adminClient>;
  readonly apply: (yaml: string) => Promise<ApplyResponse>;
  readonly joinToken: (workload: string) => Promise<string>;
  /** Clients with that identity, or without any. */
  readonly connect: (identity?: HeldIdentity) => Clients;
  /** Attests that workload by a join token. */
  readonly join: (workload: string) => Promise<HeldIdentity>;
  /** Stops the process and keeps its folder. */
  readonly stop: (options?: { readonly keepClients: boolean }) => Promise<void>;
}

const folders: string[] = [];
const running = new Set<() => Promise<void>>();

/** For `afterEach`. */
export async function stopPlanes(): Promise<void> {
  for (const stop of running) await stop();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export function createFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "countersign-plane-"));
  folders.push(folder);
  return folder;
}

export async function startPlane(options: { folder?: string; clock?: Clock; environment?: Environment } = {}): Promise<Plane> {
  const folder = options.folder ?? createFolder();
  const logs: Record<string, unknown>[] = [];
  const controller = new AbortController();
  const readiness = Promise.withResolvers<Ready>();
  const running_ = runControlPlane(
    {
      COUNTERSIGN_DATA: folder,
      COUNTERSIGN_GRPC: "127.0.0.1:0",
      COUNTERSIGN_METRICS: "127.0.0.1:0",
      COUNTERSIGN_TRUST_DOMAIN: "prod.example",
      COUNTERSIGN_DRAIN_SECONDS: "1",
      ...options.environment,
    },
    controller.signal,
    {
      ...(options.clock === undefined ? {} : { clock: options.clock }),
      log: { write: (line: string) => void logs.push(JSON.parse(line) as Record<string, unknown>) },
      onReady: readiness.resolve,
    },
  );
  running_.catch(readiness.reject);
  const ready = await readiness.promise;
  const clients: { close(): void }[] = [];
  const stop = async ({ keepClients } = { keepClients: false }): Promise<void> => {
    running.delete(stop);
    if (!keepClients) for (const client of clients) client.close();
    controller.abort(new Error("stop"));
    await running_;
    for (const client of clients) client.close();
  };
  running.add(stop);
  const admin = adminClient(ready.adminSocket);
  clients.push(admin);

  const connect = (identity?: HeldIdentity): Clients => {
    const context = createSecureContext({
      minVersion: "TLSv1.3",
      ca: readFileSync(ready.bundle),
      ...(identity === undefined ? {} : { cert: certificatesToPem(identity.certificates), key: identity.privateKey }),
    });
    const channel = credentials.createFromSecureContext(context, {
      checkServerIdentity: (_host, { subjectaltname }) =>
        subjectaltname === "URI:spiffe://prod.example/control-plane" ? undefined : new Error(`the server is ${subjectaltname ?? "nobody"}`),
    });
    const made = meshClients(ready.grpc, channel);
    clients.push(made);
    return made;
  };
  const joinToken = async (workload: string) => {
    const { token } = await admin.createJoinToken({ namespace: "shop", workload, ttlSeconds: 0 });
    return token;
  };
  return {
    folder,
    ready,
    logs,
    admin,
    connect,
    joinToken,
    stop,
    apply: (yaml) => admin.apply({ resources: readResources(yaml, "test.yaml").map((each) => JSON.stringify(each)), dryRun: false }),
    async join(workload) {
      const { held } = await issue(connect(), { $case: "joinToken", value: { token: await joinToken(workload) } });
      return held;
    },
  };
}

/** A new key, certified. */
export async function issue(
  clients: Clients,
  proof: IssueSvidRequest["proof"],
): Promise<{ readonly held: HeldIdentity; readonly response: IssueSvidResponse }> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const response = await clients.issueSvid({ csr: createCsr(keys), proof, lifetimeSeconds: 0 });
  const privateKey = keys.privateKey.export({ type: "pkcs8", format: "pem" });
  return { response, held: { certificates: response.certificateChain, privateKey } };
}

export interface Watching {
  readonly stream: ClientDuplexStream<WatchRequest, WatchResponse>;
  /** The next snapshot that has not been taken yet. Rejects when the stream ends. */
  readonly next: () => Promise<Snapshot>;
  /** Takes snapshots until one is as wanted. */
  readonly until: (wanted: (snapshot: Snapshot) => boolean) => Promise<Snapshot>;
  readonly waiting: () => number;
}

export function watchMesh(clients: Clients, instance: string, inboundAddress = ""): Watching {
  const stream = clients.watch();
  const snapshots: Snapshot[] = [];
  let takers: { resolve: (snapshot: Snapshot) => void; reject: (error: Error) => void }[] = [];
  let failure: Error | undefined;
  const fail = (error: Error) => {
    failure ??= error;
    for (const { reject } of takers) reject(failure);
    takers = [];
  };
  stream.on("data", ({ snapshot }: WatchResponse) => {
    if (snapshot === undefined) return;
    const taker = takers.shift();
    if (taker === undefined) snapshots.push(snapshot);
    else taker.resolve(snapshot);
  });
  stream.on("error", fail);
  stream.on("end", () => {
    fail(new Error("the stream ended"));
  });
  stream.write({ message: { $case: "hello", value: { instance, inboundAddress, version: "test" } } });
  const next = (): Promise<Snapshot> => {
    const present = snapshots.shift();
    if (present !== undefined) return Promise.resolve(present);
    if (failure !== undefined) return Promise.reject(failure);
    const { promise, resolve, reject } = Promise.withResolvers<Snapshot>();
    takers.push({ resolve, reject });
    return promise;
  };
  return {
    stream,
    next,
    async until(wanted) {
      for (;;) {
        const snapshot = await next();
        if (wanted(snapshot)) return snapshot;
      }
    },
    waiting: () => snapshots.length,
  };
}

/** Orders serves and is called by storefront; other is a bystander. */
export const shop = `
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: storefront, namespace: shop }
spec: { ports: [{ port: 80, targetPort: 8080 }], calls: [{ service: orders, actions: [GetItem] }] }
---
apiVersion: countersign.dev/v1
kind: Service
metadata: { name: orders, namespace: shop }
spec:
  ports: [{ port: 80, targetPort: 8081 }]
  operations: { GetItem: { http: 'GET /items/{id}', resource: 'item/{id}' } }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: storefront, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: orders, namespace: shop }, spec: {} }
---
{ apiVersion: countersign.dev/v1, kind: Workload, metadata: { name: other, namespace: shop }, spec: {} }
`;
