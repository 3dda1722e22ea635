/** `bundle.pem`: the mesh's roots for whoever is to join it. Replaced as a whole, so that no reader sees half of it. */
import { renameSync, writeFileSync } from "node:fs";
import { certificatesToPem } from "../common/x509/pem.ts";
import type { MeshState } from "./resources/mesh-state.ts";

/** Writes the bundle of the state, and has it follow the state. */
export function createBundleFile(path: string): (state: MeshState) => void {
  let written = 0;
  return ({ bundle }) => {
    if (bundle.sequence === written) return;
    const temporary = `${path}.new`;
    writeFileSync(temporary, certificatesToPem(bundle.x509Authorities), { mode: 0o644 });
    renameSync(temporary, path);
    written = bundle.sequence;
  };
}
