/** The admin API of a control plane on its Unix socket. */
import { credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import {
  AdminServiceClient,
  type ApplyResponse,
  type CreateJoinTokenResponse,
  type GetResourcesResponse,
  type GetStatusResponse,
} from "../common/gen/mesh/v1/admin.ts";

export interface AdminClient {
  /** Each a JSON document. */
  apply(resources: readonly string[], dryRun: boolean): Promise<ApplyResponse>;
  get(kind: string, namespace: string, name: string): Promise<GetResourcesResponse>;
  /** `ttlSeconds` 0 for the control plane's default. */
  createJoinToken(namespace: string, workload: string, ttlSeconds?: number): Promise<CreateJoinTokenResponse>;
  status(): Promise<GetStatusResponse>;
  close(): void;
}

const timeoutMs = 10_000;

/** Calls reject with Error whose message says what to do. */
export function connectAdmin(socket: string): AdminClient {
  const client = new AdminServiceClient(`unix:${socket}`, credentials.createInsecure());
  const call = <T>(start: (callback: (error: ServiceError | null, response: T) => void) => void) =>
    new Promise<T>((resolve, reject) => {
      start((error, response) => {
        if (error) reject(explain(error, socket));
        else resolve(response);
      });
    });
  const options = () => ({ deadline: Date.now() + timeoutMs });
  return {
    apply: (resources, dryRun) => call((done) => client.apply({ resources: [...resources], dryRun }, new Metadata(), options(), done)),
    get: (kind, namespace, name) => call((done) => client.getResources({ kind, namespace, name }, new Metadata(), options(), done)),
    createJoinToken: (namespace, workload, ttlSeconds = 0) =>
      call((done) => client.createJoinToken({ namespace, workload, ttlSeconds }, new Metadata(), options(), done)),
    status: () => call((done) => client.getStatus({}, new Metadata(), options(), done)),
    close: () => client.close(),
  };
}

function explain(error: ServiceError, socket: string): Error {
  // What grpc-js has to say of a socket that nobody listens on is long and no help: it is left out.
  if (error.code === status.UNAVAILABLE)
    return new Error(`no control plane answers on ${socket}; is it running, and is this its admin socket?`);
  return new Error(error.details || error.message, { cause: error });
}
