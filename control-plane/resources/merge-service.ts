/**
 * A service as the mesh has it: what the cluster says of it, under what a `Service` resource of the same name declares. Ports,
 * addresses and identities are the cluster's unless the resource states them; of a port that it states, target port and protocol
 * are the cluster's unless stated.
 */
import { apiVersion } from "../../common/resources/resource.ts";
import type { ServiceResource } from "../../common/resources/resource.ts";
import { serviceSpec } from "../../common/resources/service.ts";
import type { ServiceRecord } from "../kubernetes/service-record.ts";

const bareSpec = serviceSpec.parse({});
/** Equal inputs give the same object, so that what is kept by service stays. */
const merged = new WeakMap<ServiceRecord, { readonly declared: ServiceResource | undefined; readonly service: ServiceResource }>();

export function mergeService(
  { namespace, name }: { readonly namespace: string; readonly name: string },
  record: ServiceRecord,
  declared: ServiceResource | undefined,
): ServiceResource {
  const known = merged.get(record);
  if (known !== undefined && known.declared === declared) return known.service;
  const spec = declared?.spec ?? bareSpec;
  const service: ServiceResource = {
    apiVersion,
    kind: "Service",
    metadata: declared?.metadata ?? { namespace, name, labels: {} },
    spec: {
      ...spec,
      ports: portsOf(spec.ports, record),
      addresses: spec.addresses.length > 0 ? spec.addresses : record.addresses,
      identities: spec.identities ?? record.identities,
    },
  };
  merged.set(record, { declared, service });
  return service;
}

type Ports = ServiceResource["spec"]["ports"];

function portsOf(declared: Ports, record: ServiceRecord): Ports {
  if (declared.length === 0) return record.ports.map((port) => ({ ...port, permissive: false }));
  return declared.map((port) => ({ ...record.ports.find((each) => each.port === port.port), ...port }));
}
