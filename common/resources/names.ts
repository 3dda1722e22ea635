/** The names that resources carry. Each schema's message completes the sentence "expected …". */
import { z } from "zod";

/** RFC 1123 label: what Kubernetes takes as the name of a Service, and the only form that a credential scope can hold. */
export const label = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "a name of at most 63 lower-case letters, digits and inner hyphens");

/** In ARNs these stand for what is no service of the mesh: permissions on one must not be permissions on the other. */
const reservedNames = ["external", "iam", "sts"];

export const serviceName = label.refine(
  (name) => !reservedNames.includes(name),
  `a name other than ${reservedNames.join(", ")}, which ARNs use for other things`,
);

/** A service account: RFC 1123 labels, joined by dots. */
export const serviceAccountName = z
  .string()
  .max(253, "a name of at most 253 characters")
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/, "lower-case letters, digits and inner hyphens or dots");

/** Trust domain (SPIFFE-ID 2.1), written as a host name, because region and certificate names derive from it. */
export const trustDomainName = z
  .string()
  .max(255, "a trust domain of at most 255 characters")
  .regex(/^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/, "a trust domain: lower-case letters, digits and inner dots, hyphens and underscores");

export function wholeNumber(minimum: number, maximum: number): z.ZodInt {
  const expected = `a whole number from ${minimum} to ${maximum}`;
  return z.int(expected).min(minimum, expected).max(maximum, expected);
}

export const portNumber = wholeNumber(1, 65535);

/** Seconds since 1970 are compared, so the offset is needed and fractions are not. */
export const timestamp = z.iso.datetime({ offset: true, error: "a date and time such as 2026-01-31T12:00:00Z" });

/** Another resource by name: `orders`, or `{ name: orders, namespace: shop }`; the namespace is by default the referrer's. */
export const reference = z
  .union([label, z.strictObject({ name: label, namespace: label.optional() })])
  .transform((value) => (typeof value === "string" ? { name: value } : value));

/** Labels and tags: AWS's limits for tags, which Kubernetes' labels keep too. */
export const tags = z.record(
  z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]+$/u, "letters, digits, spaces and _.:/=+-@"),
  z
    .string()
    .max(256)
    .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u, "letters, digits, spaces and _.:/=+-@"),
);
