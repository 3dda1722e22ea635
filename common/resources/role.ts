/** `Role`: who may assume it (trust policy), what its sessions may do (permission policies, within the boundary). */
import { z } from "zod";
import { iamDocument } from "./iam-document.ts";
import { label, tags, timestamp, wholeNumber } from "./names.ts";

/** An inline document, or the name of a `Policy` of the same namespace. */
const policy = z.union([label, iamDocument]);

export const roleSpec = z.strictObject({
  trustPolicy: iamDocument,
  permissionPolicies: z.array(policy).max(20).default([]),
  permissionsBoundary: policy.optional(),
  maxSessionSeconds: wholeNumber(900, 43_200).default(3600),
  tags: tags.refine((value) => Object.keys(value).length <= 50, "at most 50 tags").default({}),
  /** Sessions issued before this are refused. */
  revokeSessionsIssuedBefore: timestamp.optional(),
});

export type RoleSpec = z.infer<typeof roleSpec>;
