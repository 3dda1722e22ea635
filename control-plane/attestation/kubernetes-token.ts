/**
 * The token that a pod has from its node: of our audience, bound to the pod. Who reads one finds out whether it is good; where the
 * pod is, and whether it is still there, is for kubernetes.ts to ask.
 */
import { z } from "zod";
import { RequestError } from "../server/request-error.ts";

export const audience = "countersign";

const tokenForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const maxTokenCharacters = 16_384;

export interface BoundToken {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podName: string;
  readonly podUid: string;
}

export interface TokenReader {
  /** Throws TokenRefused where the token is not good, and KubernetesError where the API server would have to be asked and cannot be. */
  readonly read: (token: string) => Promise<BoundToken>;
  /** Whether a pod whose token was good before is taken for present while the API server does not answer. */
  readonly trustsKnownPods: boolean;
}

const userForm = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/;
const podNameForm = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** `user`: `system:serviceaccount:<namespace>:<name>`. Throws TokenRefused `token-unbound` for a token of anything but a pod. */
export function boundToken(user: string, podName: string, podUid: string): BoundToken {
  const [whole, namespace = "", serviceAccount = ""] = userForm.exec(user) ?? [];
  if (whole === undefined || podUid === "" || !podNameForm.test(podName)) throw refusal("token-unbound", { user: user.slice(0, 300) });
  return { namespace, serviceAccount, podName, podUid };
}

const claims = z.object({ aud: z.union([z.string(), z.array(z.string())]) });

/** What is plainly no token of ours is not worth the API server's time. Throws TokenRefused. */
export function checkForm(token: string): void {
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
export class TokenRefused extends RequestError {
  /** For the operator. */
  readonly found: object;

  constructor(reason: string, found: object) {
    super("unauthenticated", reason, "the service-account token is not valid here");
    this.found = found;
  }
}

export function refusal(reason: string, found: object): TokenRefused {
  return new TokenRefused(reason, found);
}
