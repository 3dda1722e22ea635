/** `Service`: something that workloads call by name, who may answer for it, and what it needs to call itself. */
import { z } from "zod";
import { ipAddress } from "./address.ts";
import { externalHost } from "./external-service.ts";
import { iamDocument } from "./iam-document.ts";
import { tiers } from "./mesh.ts";
import { label, portNumber, serviceAccountName, wholeNumber } from "./names.ts";
import { operations } from "./operation.ts";
import { traffic } from "./traffic.ts";

export const protocols = ["http", "h2", "grpc", "tcp"] as const;

const hostname = z
  .string()
  .max(253, "at most 253 characters")
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/, "a lower-case host name without port");

const call = z
  .union([
    label,
    z.strictObject({
      service: label,
      namespace: label.optional(),
      /** Actions of that service without its prefix, `*` and `?` as wildcards; by default all. */
      actions: z
        .array(z.string().regex(/^[A-Za-z*?][A-Za-z0-9*?]{0,127}$/, "an action without the service's name, such as GetItem or Get*"))
        .min(1)
        .optional(),
    }),
    /**
     * A host outside the mesh: `external:Connect` is allowed on it; `*.` stands for any labels, as in a policy. Only an
     * `ExternalService` whose `policy` is `required` asks for this, and one has to list the host in any case.
     */
    z.strictObject({ external: externalHost }),
  ])
  .transform((value) => (typeof value === "string" ? { service: value } : value));

/** Longest life of a presigned URL: a week, as at AWS. */
const maxPresignedSeconds = 604_800;

/** Whether, and for how long, signatures in the query are accepted. A `critical` service takes none whatever this says. */
const presigned = z.strictObject({
  /** A URL that allows itself more is good for this long. */
  maxExpiresSeconds: wholeNumber(1, maxPresignedSeconds),
  /**
   * Who may use a URL: the workload whose session signed it, or any workload of the mesh that it was handed to. Either
   * way it is the signer's permissions that count.
   */
  bearer: z.enum(["session-workload", "any"]).default("session-workload"),
});

export const serviceSpec = z.strictObject({
  /** Who may serve it; by default the service account of the service's own namespace and name. */
  identities: z
    .array(z.strictObject({ namespace: label.optional(), serviceAccount: serviceAccountName }))
    .min(1)
    .optional(),
  ports: z
    .array(
      z.strictObject({
        port: portNumber,
        /** Where the application listens; by default `port`. */
        targetPort: portNumber.optional(),
        /** What is spoken there; where it is not declared, the first bytes of a connection tell. */
        protocol: z.enum(protocols).optional(),
        /** Plaintext is accepted too, and counted. */
        permissive: z.boolean().default(false),
      }),
    )
    .transform((ports, context) => {
      const seen = new Set<number>();
      for (const [index, { port }] of ports.entries()) {
        if (seen.has(port)) context.addIssue({ code: "custom", path: [index, "port"], message: "each port once" });
        seen.add(port);
      }
      return ports;
    })
    .default([]),
  /** By default the four names Kubernetes gives a Service. */
  hostnames: z.array(hostname).min(1).optional(),
  /** Virtual addresses by which callers reach it, such as a ClusterIP of Kubernetes: a connection to one of them is a call to it. */
  addresses: z.array(ipAddress).max(16).default([]),
  operations: operations.default({}),
  operationsMode: z.enum(["strict", "open"]).default("open"),
  resourcePolicy: iamDocument.optional(),
  /** By default the mesh's. */
  tier: z.enum(tiers).optional(),
  enforcement: z.enum(["enforce", "audit"]).default("enforce"),
  /** What this service calls: the permissions of its service-linked role. By default the mesh's `defaultCalls`; an empty list is none. */
  calls: z.array(call).optional(),
  allowEncodedSlashes: z.boolean().default(false),
  /** By default a signature has to be in the Authorization field. */
  presigned: presigned.optional(),
  traffic: traffic.prefault({}),
  /** Calls that one instance's application is given at once; one more is refused. 0 for no limit but the sidecar's own. */
  maxConcurrentRequests: wholeNumber(0, 1_000_000).default(0),
});

export type ServiceSpec = z.infer<typeof serviceSpec>;
