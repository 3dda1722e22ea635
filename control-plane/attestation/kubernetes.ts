/**
 * Pods of Kubernetes prove themselves by a projected service-account token: of our audience, bound to one pod. The pod is looked up
 * at every use: it has to be the very one that the token names, run as that service account, not have ended, and be where the call
 * comes from. So the token of a pod that is gone is worth nothing at once, and one that was carried off is no use at another address.
 *
 * Whether the pod's namespace is labelled for injection is not asked: the label says where sidecars are put beside pods and which
 * Services are the mesh's. Who the pod is does not depend on it, and an identity alone may do nothing.
 *
 * Every refusal of a token is one and the same to the caller; the log says which it was.
 */
import { canonicalIp } from "../../common/net/ip.ts";
import { wait } from "../../common/runtime/clock.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Logger } from "../../common/runtime/logger.ts";
import { forWorkload } from "../../common/spiffe/id.ts";
import type { KubernetesClient } from "../kubernetes/client.ts";
import { KubernetesError } from "../kubernetes/error.ts";
import type { KubernetesErrorCode } from "../kubernetes/error.ts";
import { addressesOfPod, isFinished, podFromApi } from "../kubernetes/objects.ts";
import type { PodObject } from "../kubernetes/objects.ts";
import { RequestError } from "../server/request-error.ts";
import type { Store } from "../store/store.ts";
import { attestationKey, attestationMethodOf, attestationToBytes } from "./attestation-record.ts";
import type { Attestor } from "./attestor.ts";
import { checkForm, refusal, TokenRefused } from "./kubernetes-token.ts";
import type { BoundToken, TokenReader } from "./kubernetes-token.ts";

const method = "kubernetes";
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

/** Of the outage of an API server: what it would say then is not known. */
const outages: ReadonlySet<KubernetesErrorCode> = new Set(["unreachable", "timed-out", "server-error", "throttled"]);
const maxKnownPods = 50_000;

interface KnownPod {
  readonly serviceAccount: string;
  readonly addresses: readonly string[];
}

export function createKubernetesAttestor(options: {
  readonly client: Pick<KubernetesClient, "request">;
  readonly tokens: TokenReader;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}): Attestor<"kubernetes"> {
  const { client, tokens, store, clock, logger, signal } = options;
  /** Those whose tokens were good, by uid; the longest unseen first. */
  const knownPods = new Map<string, KnownPod>();
  let reviews = 0;

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
  async function checkAddress(token: BoundToken, address: string): Promise<readonly string[]> {
    const until = clock.now() + addressMilliseconds;
    for (;;) {
      const addresses = addressesOfPod(await podOf(token));
      if (addresses.some((each) => canonicalIp(each) === canonicalIp(address))) return addresses;
      if (addresses.length > 0) throw refusal("pod-address", { ...token, addresses });
      if (clock.now() >= until) throw new RequestError("unavailable", "pod-address-unknown", "the pod has no address yet; try again");
      await wait(clock, addressPollMilliseconds, signal);
    }
  }

  function remember({ podUid, serviceAccount }: BoundToken, addresses: readonly string[]): void {
    knownPods.delete(podUid);
    knownPods.set(podUid, { serviceAccount, addresses });
    const [oldest] = knownPods.keys();
    if (knownPods.size > maxKnownPods && oldest !== undefined) knownPods.delete(oldest);
  }

  /** Whether the pod has been here, as the same and from the same address, before the API server went away. */
  function isKnown({ podUid, serviceAccount }: BoundToken, address: string, error: unknown): boolean {
    if (!tokens.trustsKnownPods || !(error instanceof KubernetesError) || !outages.has(error.code)) return false;
    const known = knownPods.get(podUid);
    return known?.serviceAccount === serviceAccount && known.addresses.some((each) => canonicalIp(each) === canonicalIp(address));
  }

  async function checkPod(token: BoundToken, address: string): Promise<void> {
    try {
      const addresses = await checkAddress(token, address);
      if (tokens.trustsKnownPods) remember(token, addresses);
    } catch (error) {
      if (error instanceof TokenRefused) knownPods.delete(token.podUid);
      if (!isKnown(token, address, error)) throw error;
      logger.warn(
        { event: "pod-not-looked-up", ...token, err: error },
        "the API server does not answer; a pod that was good before is taken for present",
      );
    }
  }

  async function attest(token: string, address: string): Promise<BoundToken> {
    if (reviews >= maxReviews) throw new RequestError("unavailable", "too-many-reviews", "the token cannot be checked now; try again");
    reviews += 1;
    try {
      checkForm(token);
      const bound = await tokens.read(token);
      await checkPod(bound, address);
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
