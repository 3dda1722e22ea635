/**
 * Reads what `countersign up` runs: resources as they are applied anywhere, or the short form for one machine, in which a
 * service, the workload behind it and what it calls are one entry of `services`.
 */
import { z } from "zod";
import { ResourceError, type ResourceProblem } from "../../common/resources/error.ts";
import { findingsOf } from "../../common/resources/issue.ts";
import { readDocument } from "../../common/resources/read.ts";
import { apiVersion, describeResource, kindSchemas, type Resource } from "../../common/resources/resource.ts";
import { serviceSpec } from "../../common/resources/service.ts";
import { workloadSpec } from "../../common/resources/workload.ts";
import { label, serviceName, trustDomainName } from "../../common/resources/names.ts";
import { parseYamlText, type YamlDocument } from "../../common/resources/yaml-text.ts";

const entry = z.strictObject({
  ...workloadSpec.pick({ command: true, port: true, env: true }).shape,
  ...serviceSpec.pick({ calls: true, operations: true, hostnames: true, tier: true }).shape,
});

const shortForm = z.strictObject({
  trustDomain: trustDomainName.optional(),
  namespace: label.optional(),
  services: z.record(serviceName, entry),
});

const fieldsOf = (path: readonly PropertyKey[]) => Object.keys(path.length === 2 ? entry.shape : shortForm.shape);

/** `file` is its name in errors. Throws ResourceError with everything that is wrong. */
export function readMeshFile(text: string, file: string): readonly Resource[] {
  const { documents, problems } = parseYamlText(text, file);
  const found: ResourceProblem[] = [...problems];
  const resources: Resource[] = [];
  const seen = new Set<string>();
  for (const document of documents) {
    const read = isShortForm(document) ? expand(document) : readDocument(document);
    if (isProblems(read)) {
      found.push(...read);
      continue;
    }
    for (const resource of Array.isArray(read) ? read : [read]) {
      const name = describeResource(resource);
      if (seen.has(name)) found.push(document.problemAt([], false, "each resource once", `${name} again`));
      seen.add(name);
      resources.push(resource);
    }
  }
  if (found.length > 0) throw new ResourceError(found.sort((a, b) => a.line - b.line || a.column - b.column));
  return resources;
}

function isProblems(read: Resource | readonly Resource[] | readonly ResourceProblem[]): read is readonly ResourceProblem[] {
  return Array.isArray(read) && read.some((each) => "found" in each);
}

function isShortForm({ value }: YamlDocument): boolean {
  return typeof value === "object" && value !== null && "services" in value && !("kind" in value);
}

function expand(document: YamlDocument): readonly Resource[] | readonly ResourceProblem[] {
  const parsed = shortForm.safeParse(document.value);
  if (!parsed.success) {
    return findingsOf(parsed.error.issues, document.value, fieldsOf).map(({ path, atKey, expected, found }) =>
      document.problemAt(path, atKey, expected, found),
    );
  }
  const { trustDomain, namespace, services } = parsed.data;
  const called = new Set(
    Object.values(services).flatMap(({ calls = [] }) => calls.flatMap((call) => ("service" in call ? [call.service] : []))),
  );
  const resources: Resource[] = [];
  if (trustDomain !== undefined) resources.push(kindSchemas.Mesh.parse({ apiVersion, kind: "Mesh", spec: { trustDomain } }));
  for (const [name, { command, port, env, calls, operations, hostnames, tier }] of Object.entries(services)) {
    const metadata = { name, namespace };
    // An entry that nothing says is called may be a program that only calls, and never listens.
    const serves = called.has(name) || port !== undefined || hostnames !== undefined || Object.keys(operations).length > 0;
    const ports = serves ? [{ port: 80 }] : [];
    resources.push(
      kindSchemas.Workload.parse({ apiVersion, kind: "Workload", metadata, spec: { command, port, env } }),
      kindSchemas.Service.parse({ apiVersion, kind: "Service", metadata, spec: { ports, calls, operations, hostnames, tier } }),
    );
  }
  return resources;
}
