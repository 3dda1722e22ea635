/** CPU by request, where there are proxies to use any. */
import type { Values } from "../figures.ts";

export function perRequest(micros: number, requests: number): Values {
  return micros === 0 ? {} : { cpuMicros: micros / requests };
}
