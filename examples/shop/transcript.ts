/** What `npm start` prints: a story for a person, or one JSON object a line. */
import { styleText } from "node:util";

export interface CallEntry {
  readonly type: "call";
  readonly name: string;
  readonly from: string;
  readonly to: string;
  readonly request: string;
  readonly caller: string;
  readonly session: string;
  readonly action: string;
  readonly resource: string;
  readonly decision: string;
  readonly reason: string;
  readonly statement: string;
  readonly status: number;
  /** What both sidecars and the way between them took, milliseconds. */
  readonly addedMs: number | undefined;
  readonly totalMs: number | undefined;
  readonly expected: string;
  readonly ok: boolean;
}

export type Entry =
  | { readonly type: "certificate"; readonly workload: string; readonly spiffeId: string; readonly notAfter: string }
  | { readonly type: "session"; readonly workload: string; readonly sessionArn: string; readonly until: string }
  | { readonly type: "heading"; readonly text: string }
  | { readonly type: "output"; readonly process: string; readonly line: string }
  | { readonly type: "problem"; readonly process: string; readonly text: string }
  | CallEntry
  | { readonly type: "summary"; readonly passed: number; readonly failed: number }
  | { readonly type: "address"; readonly of: string; readonly name: string; readonly url: string };

export interface Transcript {
  readonly print: (entry: Entry) => void;
}

export function createTranscript(out: NodeJS.WriteStream, json: boolean): Transcript {
  const paint = (format: "bold" | "dim" | "green" | "red" | "cyan", text: string) => (out.isTTY ? styleText(format, text) : text);
  const line = (text: string) => out.write(`${text}\n`);

  function call(entry: CallEntry): void {
    const mark = entry.ok ? paint("green", "✓") : paint("red", "✗");
    line(`${mark} ${paint("bold", entry.name)}   ${entry.from} → ${entry.to}   ${entry.request}`);
    const detail = (name: string, text: string) => {
      if (text !== "") line(`    ${paint("dim", name.padEnd(9))} ${text}`);
    };
    detail("caller", entry.caller);
    detail("session", entry.session);
    detail("action", entry.action === "" ? "" : `${entry.action} on ${entry.resource}`);
    detail("decision", `${entry.decision}: ${entry.reason}${entry.statement === "" ? "" : ` by ${entry.statement}`}`);
    detail("status", entry.status === 0 ? "none: the connection was closed" : String(entry.status));
    if (entry.addedMs !== undefined) detail("latency", `${entry.addedMs.toFixed(2)} ms added, ${entry.totalMs?.toFixed(2)} ms in all`);
    if (!entry.ok) line(paint("red", `    expected  ${entry.expected}`));
  }

  function human(entry: Entry): void {
    switch (entry.type) {
      case "certificate":
        line(`  certificate  ${entry.workload.padEnd(12)} ${entry.spiffeId}, good until ${entry.notAfter}`);
        return;
      case "session":
        line(`  session      ${entry.workload.padEnd(12)} ${entry.sessionArn}, good until ${entry.until}`);
        return;
      case "heading":
        line(`\n${paint("bold", entry.text)}`);
        return;
      case "output":
        return;
      case "problem":
        line(paint("red", `  ${entry.process}: ${entry.text}`));
        return;
      case "call":
        call(entry);
        return;
      case "summary":
        line(`\n${entry.passed} of ${entry.passed + entry.failed} calls got what they should.`);
        return;
      case "address":
        line(`  ${entry.of.padEnd(14)} ${entry.name.padEnd(9)} ${paint("cyan", entry.url)}`);
    }
  }

  return { print: json ? (entry) => line(JSON.stringify(entry)) : human };
}
