/** Which method of which gRPC service a call is for (gRPC over HTTP/2, "Requests"): an operation that nobody has to declare. */
import type { ServiceProtocol } from "../service-protocol.ts";
import { isGrpc } from "../refusal.ts";
import type { Exchange } from "./exchange.ts";

export interface GrpcMethod {
  /** `shop.Orders` */
  readonly service: string;
  /** `GetItem` */
  readonly method: string;
}

const path = /^\/([A-Za-z_][A-Za-z0-9_.]{0,255})\/([A-Za-z_][A-Za-z0-9_]{0,127})$/;

/** Undefined for what is not gRPC: the port says so, or a content-type that the caller signed. Nobody on the way may choose the action. */
export function grpcMethodOf(exchange: Exchange, protocol: ServiceProtocol): GrpcMethod | undefined {
  const { head, authentication } = exchange;
  if (head.method !== "POST") return undefined;
  if (protocol !== "grpc" && !(authentication?.signed.has("content-type") && isGrpc(head))) return undefined;
  const parts = path.exec(exchange.path);
  return parts?.[1] === undefined || parts[2] === undefined ? undefined : { service: parts[1], method: parts[2] };
}
