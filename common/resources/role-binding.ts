/** `RoleBinding`: the role that a workload assumes towards a service, in place of its service-linked role. */
import { z } from "zod";
import { label, reference } from "./names.ts";

export const roleBindingSpec = z.strictObject({
  /** A workload of the binding's namespace. */
  workload: label,
  service: reference,
  role: reference,
});

export type RoleBindingSpec = z.infer<typeof roleBindingSpec>;
