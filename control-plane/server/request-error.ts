/** Why a call is refused, and the one function that turns any error into a gRPC status. */
import { status } from "@grpc/grpc-js";
import { StoreError } from "../store/error.ts";

export type RequestErrorCode =
  /** The request is not one that could ever succeed. */
  | "invalid-argument"
  /** Nothing says who the caller is, or what says so does not hold. */
  | "unauthenticated"
  /** The caller is known and may not. */
  | "permission-denied"
  | "not-found"
  /** Not as things stand: something else has to be done first. */
  | "failed-precondition"
  /** Somebody else changed the same thing at the same time. */
  | "aborted"
  | "too-slow"
  | "unavailable";

/** `message` goes to the caller: short, and nothing that the caller should not know. `reason` is for logs and metrics. */
export class RequestError extends Error {
  override readonly name = "RequestError";
  readonly code: RequestErrorCode;
  readonly reason: string;

  constructor(code: RequestErrorCode, reason: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.reason = reason;
  }
}

const statuses = {
  "invalid-argument": status.INVALID_ARGUMENT,
  unauthenticated: status.UNAUTHENTICATED,
  "permission-denied": status.PERMISSION_DENIED,
  "not-found": status.NOT_FOUND,
  "failed-precondition": status.FAILED_PRECONDITION,
  aborted: status.ABORTED,
  "too-slow": status.DEADLINE_EXCEEDED,
  unavailable: status.UNAVAILABLE,
} as const satisfies Record<RequestErrorCode, status>;

export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly reason: string;
  /** Whether the fault is ours, so that an operator should look. */
  readonly internal: boolean;
}

export function refusalOf(error: unknown): Refusal {
  if (error instanceof RequestError) return { code: statuses[error.code], details: error.message, reason: error.reason, internal: false };
  if (error instanceof StoreError) {
    return { code: status.UNAVAILABLE, details: "the store is not available", reason: error.code, internal: true };
  }
  return { code: status.INTERNAL, details: "internal error", reason: "internal", internal: true };
}
