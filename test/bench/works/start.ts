/** From the start of a sidecar's process until it says that calls can be made and taken, with the control plane there. */
import { readyAddress, startBenchMesh, type BenchMesh } from "../peers/countersign.ts";
import { freePorts } from "../ports.ts";
import type { OwnWork } from "../work.ts";

/** All rounds on one mesh, a new sidecar each. */
export function createStart(): OwnWork {
  let mesh: BenchMesh | undefined;
  let count = 0;
  return {
    kind: "own",
    name: "start",
    title: "Start of a sidecar: from its process to ready, with certificate, configuration and listeners",
    figures: ["readySeconds"],
    async measure(place) {
      mesh ??= await startBenchMesh(place, "http1");
      const [applicationPort = 0] = await freePorts(1);
      const token = await mesh.joinToken("caller");
      const start = performance.now();
      const sidecar = mesh.startSidecar({ token, processName: `countersign-${++count}`, applicationPort });
      await readyAddress(sidecar, "outbound");
      return { readySeconds: (performance.now() - start) / 1000 };
    },
  };
}
