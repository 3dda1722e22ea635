/** `Workload`: one program that takes part in the mesh, known by its service account. */
import { z } from "zod";
import { portNumber, serviceAccountName, timestamp } from "./names.ts";

export const workloadSpec = z.strictObject({
  /** By default the service account of the workload's own name. */
  identity: z.strictObject({ serviceAccount: serviceAccountName }).optional(),
  /** For local runs. A text is given to the shell; a list is run as it is. */
  command: z.union([z.string().min(1), z.array(z.string()).min(1)]).optional(),
  /** Where the program listens, for local runs; it is told in `PORT`. */
  port: portNumber.optional(),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "the name of an environment variable"),
      // YAML reads `8080` and `true` as what they look like, and an environment holds only text.
      z.union([z.string(), z.number(), z.boolean()]).transform(String),
    )
    .default({}),
  /** Cut off: no certificates, no sessions, and its connections are closed. */
  quarantine: z.boolean().default(false),
  /** Certificates issued before this are refused. */
  revokedBefore: timestamp.optional(),
});

export type WorkloadSpec = z.infer<typeof workloadSpec>;
