/** What a check found. */
export interface Finding {
  readonly state: "ok" | "failed" | "note";
  /** One sentence. */
  readonly text: string;
  /** The command that mends it, where there is one. */
  readonly mend?: string;
}

export const ok = (text: string): Finding => ({ state: "ok", text });
export const failed = (text: string, mend?: string): Finding => ({ state: "failed", text, ...(mend !== undefined && { mend }) });
export const note = (text: string, mend?: string): Finding => ({ state: "note", text, ...(mend !== undefined && { mend }) });

const signs: Readonly<Record<Finding["state"], string>> = { ok: "ok    ", failed: "FAILED", note: "note  " };

/** With its end of line. */
export function formatFinding({ state, text, mend }: Finding): string {
  return `${signs[state]} ${text}\n${mend === undefined ? "" : `         ${mend}\n`}`;
}
