/** Which of a mesh's programs is started when. */
import type { ServiceResource, WorkloadResource } from "../../common/resources/resource.ts";

/** A service is started after those it calls, so that its first call finds them; circles are cut anywhere. */
export function calleesFirst(workloads: readonly WorkloadResource[], services: readonly ServiceResource[]): WorkloadResource[] {
  const ordered = new Set<WorkloadResource>();
  const visiting = new Set<WorkloadResource>();
  const visit = (workload: WorkloadResource): void => {
    if (ordered.has(workload) || visiting.has(workload)) return;
    visiting.add(workload);
    for (const call of serviceOf(workload, services)?.spec.calls ?? []) {
      if ("external" in call) continue;
      const namespace = "namespace" in call && call.namespace !== undefined ? call.namespace : workload.metadata.namespace;
      const callee = workloads.find((each) => each.metadata.name === call.service && each.metadata.namespace === namespace);
      if (callee) visit(callee);
    }
    ordered.add(workload);
  };
  for (const workload of workloads) visit(workload);
  return [...ordered];
}

function serviceOf(workload: WorkloadResource, services: readonly ServiceResource[]): ServiceResource | undefined {
  return services.find(({ metadata }) => metadata.name === workload.metadata.name && metadata.namespace === workload.metadata.namespace);
}

/** Whether anybody calls it: then it has to listen before they do. */
export function isServed(workload: WorkloadResource, services: readonly ServiceResource[]): boolean {
  return (
    workload.spec.port !== undefined ||
    services.some(({ spec }) => spec.calls?.some((call) => "service" in call && call.service === workload.metadata.name)) ||
    (serviceOf(workload, services)?.spec.ports.length ?? 0) > 0
  );
}
