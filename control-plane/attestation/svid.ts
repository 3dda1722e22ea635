/** Renewal: the client certificate of the connection proves its own id, for as long as the workload is registered. */
import { RequestError } from "../server/request-error.ts";
import type { Attestor } from "./attestor.ts";

export const svidAttestor: Attestor<"svid"> = {
  method: "svid",
  async attest(_proof, { peer, state }) {
    if (peer === undefined)
      throw new RequestError("unauthenticated", "no-certificate", "renewal needs the certificate that is to be renewed");
    const { spiffeId } = peer.leaf;
    if (state.workloadsById.has(spiffeId)) return spiffeId;
    throw new RequestError("permission-denied", "workload-not-registered", "the workload is not registered");
  },
};
