/** What `up` shows: the lines of each program behind its name, and of the mesh's own parts what a person wants to know. */
import { styleText } from "node:util";
import { describeExit } from "./processes.ts";
import type { MeshEvent, RunningMesh } from "./run-mesh.ts";

export interface Printer {
  readonly event: (event: MeshEvent) => void;
  ready(mesh: RunningMesh): void;
  note(text: string): void;
}

type Color = "cyan" | "green" | "magenta" | "yellow" | "blue";
const colors: readonly Color[] = ["cyan", "green", "magenta", "yellow", "blue"];
const nameWidth = 22;
/** pino's numbers. */
const warning = 40;

/** `json` prints one object a line instead. */
export function createPrinter(out: NodeJS.WriteStream, json: boolean): Printer {
  const colorOf = new Map<string, Color>();

  function line(process: string, text: string): void {
    let color = colorOf.get(process);
    if (!color) {
      color = colors[colorOf.size % colors.length] ?? "cyan";
      colorOf.set(process, color);
    }
    const prefix = process.padEnd(nameWidth);
    out.write(`${out.isTTY ? styleText(color, prefix) : prefix} ${text}\n`);
  }

  function human(event: MeshEvent): void {
    switch (event.kind) {
      case "started":
        return;
      case "output":
        line(event.process, printable(event.line));
        return;
      case "exited":
        line(event.process, describeExit(event.exit));
        return;
      case "log": {
        const text = describeLog(event.fields);
        if (text !== undefined) line(event.process, text);
      }
    }
  }

  return {
    event(event) {
      if (json) out.write(`${JSON.stringify({ ...event, ...("fields" in event ? { fields: Object.fromEntries(event.fields) } : {}) })}\n`);
      else human(event);
    },
    ready(mesh) {
      if (json) {
        out.write(
          `${JSON.stringify({ kind: "ready", trustDomain: mesh.trustDomain, sidecars: Object.fromEntries(mesh.sidecars), places: Object.fromEntries(mesh.places) })}\n`,
        );
        return;
      }
      out.write("\n");
      for (const [workload, { outbound, admin, metrics }] of mesh.sidecars) {
        const place = mesh.places.get(workload);
        const how = place
          ? `call as it by ip netns exec ${place.namespace} curl   metrics http://${metrics}/metrics`
          : `call as it through http://${outbound}   metrics http://${metrics}/metrics   admin http://${admin}/`;
        line(workload, how);
      }
      line("control-plane", `metrics http://${mesh.controlPlane.metrics}/metrics   admin socket ${mesh.controlPlane.socket}`);
      out.write("\nThe mesh is up. Ctrl-C ends it.\n\n");
    },
    note(text) {
      if (json) out.write(`${JSON.stringify({ kind: "note", text })}\n`);
      else out.write(`${text}\n`);
    },
  };
}

/** A program may colour what it prints, and that is all it may do to the terminal of whoever watches. */
function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- the very characters to be kept out
  return text.replaceAll(/\u001b(?!\[[\d;]*m)|[\u0000-\u0008\u000b-\u001a\u001c-\u001f\u007f]/g, "\ufffd");
}

function describeLog(fields: ReadonlyMap<string, unknown>): string | undefined {
  const text = (name: string) => textOf(fields.get(name));
  switch (fields.get("event")) {
    case "certificate-issued":
    case "certificate-renewed":
      return `${text("msg")} for ${text("spiffeId")}, good until ${text("notAfter")}`;
    case "session-assumed":
      return `assumed ${text("sessionArn")}, good until ${text("until")}`;
    case "decision":
      return `${text("decision")} ${text("method")} ${text("path")} of ${text("service")} (${text("reason")}) for ${text("principal") || text("peer")}   ${text("id")}`;
    case "ready":
      return "ready";
    default:
      if (Number(fields.get("level")) < warning) return undefined;
      return [text("msg"), describeError(fields.get("err")) || text("detail") || text("reason")].filter((part) => part !== "").join(": ");
  }
}

function describeError(error: unknown): string {
  return typeof error === "object" && error !== null && "message" in error ? String(error.message) : "";
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
}
