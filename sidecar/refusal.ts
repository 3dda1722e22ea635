/**
 * What a caller is told when a sidecar answers in the application's place: a status with the reason code, as JSON; to gRPC,
 * which reads its own status and no other, the same as a response of trailers alone (gRPC over HTTP/2, "Responses").
 */
import { createField, findField, type Field } from "../common/http/field.ts";
import type { RequestHead } from "../common/http/message.ts";
import { noBody } from "./body.ts";
import { reasonStatus, type Reason } from "./reason.ts";

export interface RefusalMessage {
  readonly status: number;
  readonly fields: readonly Field[];
  /** Empty for HEAD and gRPC: the head ends the answer. */
  readonly body: Buffer;
}

const jsonType = createField("content-type", "application/json");
const grpcType = createField("content-type", "application/grpc");
/** What passes by itself: the caller may come again a second later (RFC 9110 section 10.2.3). */
const passing: ReadonlySet<Reason> = new Set(["overloaded", "circuit-open"]);
const retryAfter = createField("retry-after", "1");

/** As gRPC clients themselves read a status of HTTP ("HTTP to gRPC Status Code Mapping"). */
const grpcStatusOf = new Map<number, number>([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [413, 8],
  [431, 8],
]);
const grpcUnavailable = 14;

/** gRPC is POST, whatever else says that it is gRPC. */
export function isGrpc(head: RequestHead): boolean {
  return head.method === "POST" && findField(head.fields, "content-type")?.value.startsWith("application/grpc") === true;
}

/** What ends an answer to gRPC that has begun and cannot be completed: trailers, for a stream that is cut says less. */
export function grpcFailure(reason: Reason): readonly Field[] {
  const code = grpcStatusOf.get(reasonStatus[reason]) ?? grpcUnavailable;
  return [createField("grpc-status", String(code)), createField("grpc-message", reason)];
}

/** `told`: what the caller learns beside the reason. `added`: further fields. */
export function refusalMessage(
  head: RequestHead,
  reason: Reason,
  told: Readonly<Record<string, string>>,
  added: readonly Field[],
): RefusalMessage {
  const status = reasonStatus[reason];
  const reasonFields = [createField("x-countersign-reason", reason), ...(passing.has(reason) ? [retryAfter] : [])];
  if (isGrpc(head)) {
    const fields = [...reasonFields, ...added, grpcType, ...grpcFailure(reason)];
    return { status: 200, fields, body: noBody };
  }
  const body = Buffer.from(`${JSON.stringify({ reason, ...told })}\n`);
  const fields = [...reasonFields, ...added, jsonType, createField("content-length", String(body.length))];
  return { status, fields, body: head.method === "HEAD" ? noBody : body };
}
