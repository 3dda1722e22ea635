/** Policy documents as they come over the wire: JSON text that the control plane has checked, and that is checked again. */
import type { PolicyMode, PolicySource } from "../../common/policy/compile.ts";
import { policyFromJson, type PolicyKind } from "../../common/policy/document.ts";
import { PolicyError } from "../../common/policy/error.ts";

/** Only the word `audit` takes the teeth out of a policy. */
export function modeFromString(mode: string): PolicyMode {
  return mode === "audit" ? "audit" : "enforce";
}

/** `indexes`: where the statements stand in the author's document, if only some were sent. A text that is no policy becomes a source that denies whatever it applies to: a policy is never skipped. */
export function policySourceFromJson(
  name: string,
  text: string,
  kind: PolicyKind,
  mode: PolicyMode,
  indexes?: readonly number[],
): PolicySource {
  try {
    return { name, document: policyFromJson(text, kind), mode, indexes };
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    return { name, document: error, mode };
  }
}
