/** Service-account tokens of Kubernetes. */
import { RequestError } from "../server/request-error.ts";
import type { Attestor } from "./attestor.ts";

const method = "kubernetes";

/** For a control plane that knows no cluster. */
export const noKubernetesAttestor: Attestor<"kubernetes"> = {
  method,
  async attest() {
    throw new RequestError("failed-precondition", "kubernetes-off", "this control plane takes no service-account tokens");
  },
};
