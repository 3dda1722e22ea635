/** One sidecar that can be reached: kept in the store so that a restarted control plane knows it at once. */
import { z } from "zod";
import { fromString } from "../../common/spiffe/id.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";

export const endpointPrefix = "endpoints/";
/** What a sidecar may call its instance: it becomes part of a key and of signed headers. */
export const instanceForm = /^[A-Za-z0-9_-]{8,64}$/;

export interface RegisteredEndpoint {
  readonly spiffeId: SpiffeId;
  readonly instance: string;
  /** `host:port` */
  readonly address: string;
}

const stored = z.strictObject({
  spiffeId: z.string().transform((text) => fromString(text)),
  instance: z.string().regex(instanceForm),
  address: z.string().min(1),
});

/** The id's path and the instance: a sidecar cannot name an instance of another identity. */
export function endpointKey(spiffeId: SpiffeId, instance: string): string {
  return `${endpointPrefix}${spiffeId.slice("spiffe://".length)}/${instance}`;
}

export function endpointToBytes(endpoint: RegisteredEndpoint): Uint8Array {
  return Buffer.from(JSON.stringify(endpoint));
}

/** Throws for what `endpointToBytes` did not write under that key. */
export function endpointFromBytes(key: string, value: Uint8Array): RegisteredEndpoint {
  const endpoint = stored.parse(JSON.parse(Buffer.from(value).toString()));
  if (endpointKey(endpoint.spiffeId, endpoint.instance) !== key) throw new Error("it holds another endpoint");
  return endpoint;
}
