/**
 * The channel to the control plane: gRPC over TLS 1.3, the server known by its SPIFFE id and not by a host name, so that
 * an address from a config file or a Service needs no certificate of its own.
 */
import { createSecureContext } from "node:tls";
import { credentials, Metadata, status, type CallOptions, type ChannelOptions, type ServiceError } from "@grpc/grpc-js";
import { IdentityServiceClient } from "../../common/gen/mesh/v1/identity.ts";
import { MeshServiceClient } from "../../common/gen/mesh/v1/mesh.ts";
import { TokenServiceClient } from "../../common/gen/mesh/v1/token.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { secureContextOptions, tlsProfile, type Identity } from "../tls/profile.ts";

export interface ControlPlane {
  readonly identity: IdentityServiceClient;
  readonly tokens: TokenServiceClient;
  readonly mesh: MeshServiceClient;
  close(): void;
}

export interface ControlPlaneTarget {
  /** `host:port` */
  readonly address: string;
  readonly trustDomain: string;
  /** PEM. */
  readonly authorities: string;
}

/**
 * Channels connect by themselves and come back by themselves. The ceiling is well below what a call waits for a control plane that
 * is being restarted (callPatiently), or none of them would see it return.
 */
const channelOptions: ChannelOptions = {
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 1000,
  "grpc.keepalive_time_ms": 20_000,
  "grpc.keepalive_timeout_ms": 10_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  "grpc.enable_retries": 0,
  // A proxy of the environment is for the application's calls.
  "grpc.enable_http_proxy": 0,
  // TLS takes no address for a server name, and the name is not what the control plane is known by.
  "grpc.ssl_target_name_override": "control-plane",
  // Each client has its own identity: a channel shared through the global pool would keep the old certificate.
  "grpc.use_local_subchannel_pool": 1,
};

/** Opens a channel; with `identity` it is mutual, without it only `IssueSvid` by join token will be served. */
export function connectControlPlane(target: ControlPlaneTarget, identity: Identity | undefined): ControlPlane {
  const context = createSecureContext(identity ? secureContextOptions(identity) : { ...tlsProfile, ca: target.authorities });
  const expected = `URI:spiffe://${target.trustDomain}/control-plane`;
  const channel = credentials.createFromSecureContext(context, {
    checkServerIdentity: (_host, certificate) =>
      certificate.subjectaltname === expected
        ? undefined
        : new Error(`the control plane at ${target.address} shows ${certificate.subjectaltname ?? "no name"}, not ${expected}`),
  });
  const clients = {
    identity: new IdentityServiceClient(target.address, channel, channelOptions),
    tokens: new TokenServiceClient(target.address, channel, channelOptions),
    mesh: new MeshServiceClient(target.address, channel, channelOptions),
  };
  return {
    ...clients,
    close() {
      for (const client of Object.values(clients)) client.close();
    },
  };
}

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => { cancel(): void };

/** One unary call with a deadline. Rejects with grpc-js's ServiceError; `signal` cancels. */
export function callUnary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  options: { timeoutMs: number; signal?: AbortSignal },
): Promise<Response> {
  return attempt(method, request, new Metadata(), Date.now() + options.timeoutMs, options.signal);
}

const againAfterMs = 100;

/**
 * As `callUnary`, of what somebody is waiting for: a control plane that is out of reach is waited for until the time is over,
 * because one that is being restarted is back within seconds. `method` is that of the channel in use when it is asked for.
 */
export async function callPatiently<Request, Response>(
  method: () => UnaryMethod<Request, Response>,
  request: Request,
  options: { timeoutMs: number; clock: Clock },
): Promise<Response> {
  const { clock, timeoutMs } = options;
  const deadline = clock.now() + timeoutMs;
  for (;;) {
    try {
      // gRPC has no other clock than the system's.
      const until = Date.now() + deadline - clock.now();
      return await attempt(method(), request, new Metadata({ waitForReady: true }), until, undefined);
    } catch (error) {
      // It went away with the question: the next attempt waits for it to come back.
      if ((error as Partial<ServiceError>).code !== status.UNAVAILABLE || clock.now() + againAfterMs >= deadline) throw error;
      await new Promise<void>((resolve) => void clock.schedule(againAfterMs, resolve));
    }
  }
}

function attempt<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  metadata: Metadata,
  deadline: number,
  signal: AbortSignal | undefined,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const abort = () => call.cancel();
    const call = method(request, metadata, { deadline }, (error, response) => {
      signal?.removeEventListener("abort", abort);
      if (error) reject(error);
      else resolve(response);
    });
    if (signal?.aborted) call.cancel();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** Whether the control plane answered and refused, as against could not be reached: only the first is final. */
export function isRefusal(error: unknown): boolean {
  const code = (error as Partial<ServiceError>).code;
  return (
    code === status.PERMISSION_DENIED || code === status.UNAUTHENTICATED || code === status.INVALID_ARGUMENT || code === status.NOT_FOUND
  );
}
