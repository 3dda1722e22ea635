/** What the cluster says of one service, as the store keeps it: derived, never written by people, and replaced as a whole. */
import { z } from "zod";
import { ipAddress } from "../../common/resources/address.ts";
import { label, portNumber, serviceAccountName } from "../../common/resources/names.ts";
import { protocols } from "../../common/resources/service.ts";

export const serviceRecordPrefix = "kubernetes/services/";

const stored = z.strictObject({
  ports: z.array(z.strictObject({ port: portNumber, targetPort: portNumber, protocol: z.enum(protocols).optional() })),
  /** ClusterIPs; none for a headless service. */
  addresses: z.array(ipAddress),
  identities: z.array(z.strictObject({ namespace: label, serviceAccount: serviceAccountName })),
  /**
   * Addresses of the pods behind it. `ready` are those that calls may go to; `unready` serve it all the same, so that a pod knows
   * what it serves before the first call comes, and until the last has. Undefined for what is no Service of the cluster but only calls.
   */
  instances: z.strictObject({ ready: z.array(ipAddress), unready: z.array(ipAddress) }).optional(),
});

export type ServiceRecord = Readonly<z.infer<typeof stored>>;

/**
 * The name of a record is a Service's, or a service account's with `@` before it where a Service of that name is another's: no
 * object of the cluster can be called so.
 */
export function serviceRecordKey(namespace: string, name: string): string {
  return `${serviceRecordPrefix}${namespace}/${name}`;
}

export function nameOfServiceRecord(key: string): { readonly namespace: string; readonly name: string } {
  const [namespace = "", name = ""] = key.slice(serviceRecordPrefix.length).split("/");
  return { namespace, name };
}

export function serviceRecordToBytes(record: ServiceRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** Throws for what `serviceRecordToBytes` did not make. */
export function serviceRecordFromBytes(value: Uint8Array): ServiceRecord {
  return stored.parse(JSON.parse(Buffer.from(value).toString()));
}
