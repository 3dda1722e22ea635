/**
 * `Service.spec.traffic`: how callers manage their traffic to the service. Each caller's sidecar keeps to it by itself; nothing
 * is counted across sidecars.
 */
import { z } from "zod";
import { wholeNumber } from "./names.ts";

const aDay = 86_400_000;

export const traffic = z.strictObject({
  /** For TCP and TLS together. */
  connectTimeoutMs: wholeNumber(1, 600_000).default(5000),
  /** From the end of a call's body to the head of its answer, so that a stream may go on for as long as it likes; 0, as in Istio, for none. */
  requestTimeoutMs: wholeNumber(0, aDay).default(0),
  /** How long a call may pass without a byte once its answer has begun; 0 for no limit. */
  idleTimeoutMs: wholeNumber(0, aDay).default(0),
  /** Calls under way at once from one sidecar; one more is refused at once. 0 for no limit. */
  maxConcurrentRequests: wholeNumber(0, 1_000_000).default(1024),
  /** Of these, calls that wait for a connection or a session. 0 for no limit. */
  maxPendingRequests: wholeNumber(0, 1_000_000).default(1024),
  retries: z
    .strictObject({
      /** After the first try; 0 for never. */
      attempts: wholeNumber(0, 10).default(2),
      /** Retries for every hundred requests. */
      budgetPercent: wholeNumber(0, 100).default(20),
    })
    .prefault({}),
  outlierDetection: z
    .strictObject({
      /** Failures in a row that eject an endpoint; 0 for never. */
      consecutiveFailures: wholeNumber(0, 1000).default(5),
      baseEjectionSeconds: wholeNumber(1, 3600).default(30),
      /** Of the endpoints, how many may be out at once; one always may. */
      maxEjectionPercent: wholeNumber(0, 100).default(50),
    })
    .prefault({}),
});

export type Traffic = z.infer<typeof traffic>;
