/** How traffic to one service is to be managed: `Service.spec.traffic` of the service that is called, as a snapshot brings it. */

export interface TrafficSettings {
  /** For TCP and TLS together; ms. */
  readonly connectTimeoutMs: number;
  /** From the end of a request (an upload takes as long as it takes) to the head of its answer, retries included; ms, 0 for none. */
  readonly requestTimeoutMs: number;
  /** How long a call may pass without a byte in either direction once its answer has begun; ms, 0 for none. */
  readonly idleTimeoutMs: number;
  /** Calls under way at once from this sidecar, those that wait among them; 0 for any number. */
  readonly maxConcurrentRequests: number;
  /** Calls that wait for a connection or a session at once; 0 for any number. */
  readonly maxPendingRequests: number;
  readonly retries: RetrySettings;
  readonly outlierDetection: OutlierSettings;
}

export interface RetrySettings {
  /** How often a call may be tried again after its first try; 0 for never. */
  readonly attempts: number;
  /** Retries for every hundred requests. */
  readonly budgetPercent: number;
}

export interface OutlierSettings {
  /** Failures in a row that eject an endpoint; 0 for never. */
  readonly consecutiveFailures: number;
  /** Of the first ejection; the second in a row lasts twice as long, and so on. */
  readonly baseEjectionSeconds: number;
  /** Of a destination's endpoints, how many may be out at once; one always may. */
  readonly maxEjectionPercent: number;
}

export const defaultTraffic: TrafficSettings = {
  connectTimeoutMs: 5000,
  requestTimeoutMs: 0,
  idleTimeoutMs: 0,
  maxConcurrentRequests: 1024,
  maxPendingRequests: 1024,
  retries: { attempts: 2, budgetPercent: 20 },
  outlierDetection: { consecutiveFailures: 5, baseEjectionSeconds: 30, maxEjectionPercent: 50 },
};
