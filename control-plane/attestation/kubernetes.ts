/**
 * Pods of Kubernetes prove themselves by a projected service-account token: of our audience, bound to one pod, checked by the API
 * server's TokenReview at every use, so that the token of a pod that is gone is worth nothing at once. The pod is then looked up:
 * it has to be the very one that the token names, run as that service account, not have ended, and be where the call comes from.
 * A token that was carried off is no use at another address.
 *
 * Whether the pod's namespace is labelled for injection is not asked: the label says where sidecars are put beside pods and which
 * Services are the mesh's. Who the pod is does not depend on it, and an identity alone may do nothing.
 *
 * Every refusal of a token is one and the same to the caller; the log says which it was.
 */
import { z } from "zod";
import { canonicalIp } from "../../common/net/ip.ts";
import { wait } from "../../common/runtime/clock.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { forWorkload } from "../../common/spiffe/id.ts";
import type { KubernetesClient } from "../kubernetes/client.ts";
import { KubernetesError } from "../kubernetes/error.ts";
import { addressesOfPod, isFinished, podFromApi } from "../kubernetes/objects.ts";
import type { PodObject } from "../kubernetes/objects.ts";
import { RequestError } from "../server/request-error.ts";
import type { Store } from "../store/store.ts";
import { attestationKey, attestationMethodOf, attestationToBytes } from "./attestation-record.ts";
import type { Attestor } from "./attestor.ts";

const method = "kubernetes";
export const audience = "countersign";
const tokenForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const maxTokenCharacters = 16_384;
/** Anybody who reaches the mesh port can have a token reviewed. */
const maxReviews = 32;
/** As the API server has it for tokens of pods that are being deleted. */
const leewayMilliseconds = 60_000;
/** A sidecar may start a moment before the kubelet has told the API server the pod's address. */
const addressMilliseconds = 5000;
const addressPollMilliseconds = 250;

/** For a control plane that knows no cluster. */
export const noKubernetesAttestor: Attestor<"kubernetes"> = {
  method,
  async attest() {
    throw new RequestError("failed-precondition", "kubernetes-off", "this control plane takes no service-account tokens");
  },
};

const claims = z.object({ aud: z.union([z.string(), z.array(z.string())]) });
const review = z.object({
  status: z.object({
    authenticated: z.boolean().default(false),
    audiences: z.array(z.string()).default([]),
    error: z.string().default(""),
    user: z.object({ username: z.string().default(""), extra: z.record(z.string(), z.array(z.string())).default({}) }).prefault({}),
  }),
});
const userForm = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const podNameForm = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

interface BoundToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

export function createKubernetesAttestor(options: {
  readonly client: Pick<KubernetesClient, "request">;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Attestor<"kubernetes"> {
  const { client, store, clock, logger, signal } = options;
  let reviews = 0;

  async function reviewed(token: string): Promise<BoundToken> {
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [audience] } };
    const answer = await client.request({ method: "POST", path: "/apis/authentication.k8s.io/v1/tokenreviews", body, signal });
    const { status } = review.parse(answer);
    if (!status.authenticated) throw refusal("token-refused", { error: status.error.slice(0, 300) });
    // An API server that knows no audiences leaves them out, and would let any token of the cluster pass.
    if (!status.audiences.includes(audience)) throw refusal("token-audience", { audiences: status.audiences.slice(0, 8) });
    const user = userForm.exec(status.user.username);
    const extra = new Map(Object.entries(status.user.extra));
    const podName = extra.get("authentication.kubernetes.io/pod-name")?.[0] ?? "";
    const podUid = extra.get("authentication.kubernetes.io/pod-uid")?.[0] ?? "";
    const [, namespace = "", serviceAccount = ""] = user ?? [];
    if (user === null || podUid === "" || !podNameForm.test(podName)) throw refusal("token-unbound", { user: status.user.username });
    return { namespace, serviceAccount, podName, podUid };
  }

  async function podOf(token: BoundToken): Promise<PodObject> {
    const { namespace, serviceAccount, podName, podUid } = token;
    let pod: PodObject;
    try {
      pod = podFromApi(await client.request({ method: "GET", path: `/api/v1/namespaces/${namespace}/pods/${podName}`, signal }));
    } catch (error) {
      if (error instanceof KubernetesError && error.code === "not-found") throw refusal("pod-gone", token);
      throw error;
    }
    if (pod.metadata.uid !== podUid) throw refusal("pod-replaced", token);
    if (pod.spec.serviceAccountName !== serviceAccount) throw refusal("service-account", { ...token, found: pod.spec.serviceAccountName });
    const goneAt = pod.metadata.deletionTimestamp === undefined ? Infinity : Date.parse(pod.metadata.deletionTimestamp);
    if (isFinished(pod) || clock.now() > goneAt + leewayMilliseconds) throw refusal("pod-finished", token);
    return pod;
  }

  /** Host-network pods have the address of their node, which they share, and are held to it all the same. */
  async function checkAddress(token: BoundToken, address: string): Promise<void> {
    const until = clock.now() + addressMilliseconds;
    for (;;) {
      const addresses = addressesOfPod(await podOf(token));
      if (addresses.some((each) => canonicalIp(each) === canonicalIp(address))) return;
      if (addresses.length > 0) throw refusal("pod-address", { ...token, addresses });
      if (clock.now() >= until) throw new RequestError("unavailable", "pod-address-unknown", "the pod has no address yet; try again");
      await wait(clock, addressPollMilliseconds, signal);
    }
  }

  async function attest(token: string, address: string): Promise<BoundToken> {
    if (reviews >= maxReviews) throw new RequestError("unavailable", "too-many-reviews", "the token cannot be checked now; try again");
    reviews += 1;
    try {
      checkForm(token);
      const bound = await reviewed(token);
      await checkAddress(bound, address);
      return bound;
    } catch (error) {
      if (error instanceof TokenRefused) {
        logger.warn(
          { event: "attestation-refused", reason: error.reason, peer: address, ...error.found },
          "a service-account token was refused",
        );
      }
      if (error instanceof RequestError) throw error;
      logger.error({ err: error, peer: address }, "a service-account token could not be checked");
      throw new RequestError("unavailable", "kubernetes-unavailable", "the token cannot be checked now; try again", { cause: error });
    } finally {
      reviews -= 1;
    }
  }

  return {
    method,
    async attest({ token }, { state, address }) {
      const { namespace, serviceAccount } = await attest(token, address);
      const spiffeId = forWorkload(state.trustDomain, namespace, serviceAccount);
      if ((await store.get(attestationKey(spiffeId))) === undefined || (await attestationMethodOf(store, spiffeId)) !== method) {
        await store.put(attestationKey(spiffeId), attestationToBytes({ method, atSeconds: Math.floor(clock.now() / 1000) }));
      }
      return spiffeId;
    },
  };
}

/** What is plainly no token of ours is not worth the API server's time. Throws RequestError. */
function checkForm(token: string): void {
  if (token.length > maxTokenCharacters || !tokenForm.test(token)) throw refusal("token-malformed", {});
  let aud: string | string[];
  try {
    ({ aud } = claims.parse(JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString())));
  } catch {
    throw refusal("token-malformed", {});
  }
  if (![aud].flat().includes(audience)) throw refusal("token-audience", { audiences: [aud].flat().slice(0, 8) });
}

/** One answer to every token that is not good: a caller learns nothing from which. */
class TokenRefused extends RequestError {
  /** For the operator. */
  readonly found: object;

  constructor(reason: string, found: object) {
    super("unauthenticated", reason, "the service-account token is not valid here");
    this.found = found;
  }
}

function refusal(reason: string, found: object): TokenRefused {
  return new TokenRefused(reason, found);
}
