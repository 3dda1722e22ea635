/** `Policy`: a named IAM document for roles of its namespace to refer to. */
import { z } from "zod";
import { iamDocument } from "./iam-document.ts";

export const policySpec = z.strictObject({
  document: iamDocument,
  /** `audit`: evaluated and reported, not enforced. */
  mode: z.enum(["enforce", "audit"]).default("enforce"),
});

export type PolicySpec = z.infer<typeof policySpec>;
