/** `Mesh`: the settings of the whole mesh. There is one, named `mesh`. */
import { z } from "zod";
import { trustDomainName, wholeNumber } from "./names.ts";

export const tiers = ["critical", "standard", "basic"] as const;
export type Tier = (typeof tiers)[number];

export const meshSpec = z.strictObject({
  trustDomain: trustDomainName,
  /** Region of credential scopes; by default the trust domain with hyphens for dots. */
  region: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9-]{0,253}[a-z0-9])?$/, "lower-case letters, digits and inner hyphens: AWS SDKs refuse a dot")
    .optional(),
  svidLifetimeSeconds: wholeNumber(300, 86_400).default(3600),
  sessionLifetimeSeconds: wholeNumber(900, 43_200).default(3600),
  maxClockSkewSeconds: wholeNumber(1, 900).default(300),
  /** Longest body that is hashed whole before it is sent. */
  maxHashedBodyBytes: wholeNumber(0, 8_388_608).default(65_536),
  /** Share of allowed calls that is recorded; denials always are. */
  auditSample: z.number("a number from 0 to 1").min(0, "a number from 0 to 1").max(1, "a number from 0 to 1").default(0.01),
  defaultTier: z.enum(tiers).default("standard"),
  /**
   * Calls to hosts that are no services of the mesh. `declared`: only those that an `ExternalService` lists; any other is
   * refused before a byte leaves. `allow`: passed through to where they were sent, and counted.
   *
   * Istio's default is the latter. Here nothing is allowed that nobody allowed, and a workload that has been broken into finds
   * no way out for what it has read; `allow` is for finding out what a mesh calls before it is closed.
   */
  egress: z.enum(["allow", "declared"]).default("declared"),
  /**
   * What a service may call that declares no `calls` at all: nothing, or every action of the services of its own namespace. The
   * latter is for a start, until each service has declared what it needs.
   */
  defaultCalls: z.enum(["none", "namespace"]).default("none"),
});

export type MeshSpec = z.infer<typeof meshSpec>;
