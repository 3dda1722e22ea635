/**
 * A policy inside a resource: the IAM document itself, written as YAML or JSON. Only its outline is described here;
 * common/policy holds its grammar, and `readResources` applies it.
 */
import { z } from "zod";

export const iamDocument = z.record(z.string(), z.json());

export type IamDocument = z.infer<typeof iamDocument>;
