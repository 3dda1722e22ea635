/** The state of a mesh as a page to be read. */
import { injectLabelValue } from "../../../common/injection/names.ts";
import { formatFinding } from "../finding.ts";
import { findingsOf, isInstalled, type MeshStatus } from "./status.ts";

/** What is well is in the tables; below them what is not, and the command that mends it. */
export function formatStatus(status: MeshStatus): string {
  const { controlPlane, injection, namespaces, resources } = status;
  const bad = findingsOf(status).filter(({ state }) => state !== "ok");
  const lines: string[] = [];
  if (controlPlane !== undefined) {
    const { replicas, image, trustDomain, store, revision, sidecars, leases } = controlPlane;
    lines.push(`control plane   ${replicas.ready} of ${replicas.wanted} ready, image ${image}`);
    lines.push(`                trust domain ${trustDomain ?? "unknown"}, store ${store}`);
    const counted = [
      ...(revision === undefined ? [] : [`revision ${revision}`]),
      ...(sidecars === undefined ? [] : [`${sidecars} sidecar${sidecars === 1 ? "" : "s"} connected`]),
      ...Object.entries(leases).map(([name, holder]) => `${name} held by ${holder === "" ? "nobody" : holder}`),
    ];
    if (counted.length > 0) lines.push(`                ${counted.join(", ")}`);
  }
  if (isInstalled(status)) {
    lines.push(
      `injection       by ${injection.by}, ${injection.guarded ? "guarded" : "not guarded"}, image ${injection.image ?? "unknown"}`,
    );
    const { total, notInForce } = resources;
    lines.push(`resources       ${total === 0 ? "none" : `${total}, ${total - notInForce.length} of them in force`}`);
  }
  const meshed = namespaces.filter(({ label }) => label === injectLabelValue);
  if (meshed.length > 0) {
    const rows = meshed.map(({ name, inMesh, ready, withoutSidecar, leftAlone }) =>
      [name, inMesh, ready, withoutSidecar.length, leftAlone].map(String),
    );
    lines.push("", ...table([["NAMESPACE", "IN THE MESH", "READY", "WITHOUT SIDECAR", "LEFT ALONE"], ...rows]));
  }
  if (lines.length > 0 && bad.length > 0) lines.push("");
  return [...lines.map((line) => `${line}\n`), ...bad.map(formatFinding)].join("");
}

function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_cell, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}
