/**
 * Tokens checked by the API server at every use, so that the token of a pod or a service account that is gone is worth nothing at once.
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/
 */
import { z } from "zod";
import type { KubernetesClient } from "../kubernetes/client.ts";
import { audience, boundToken, refusal } from "./kubernetes-token.ts";
import type { TokenReader } from "./kubernetes-token.ts";

const review = z.object({
  status: z.object({
    authenticated: z.boolean().default(false),
    audiences: z.array(z.string()).default([]),
    error: z.string().default(""),
    user: z.object({ username: z.string().default(""), extra: z.record(z.string(), z.array(z.string())).default({}) }).prefault({}),
  }),
});

export function createTokenReview(client: Pick<KubernetesClient, "request">, signal: AbortSignal): TokenReader {
  return {
    trustsKnownPods: false,
    async read(token) {
      const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences: [audience] } };
      const answer = await client.request({ method: "POST", path: "/apis/authentication.k8s.io/v1/tokenreviews", body, signal });
      const { status } = review.parse(answer);
      if (!status.authenticated) throw refusal("token-refused", { error: status.error.slice(0, 300) });
      // An API server that knows no audiences leaves them out, and would let any token of the cluster pass.
      if (!status.audiences.includes(audience)) throw refusal("token-audience", { audiences: status.audiences.slice(0, 8) });
      const extra = new Map(Object.entries(status.user.extra));
      const [podName = ""] = extra.get("authentication.kubernetes.io/pod-name") ?? [];
      const [podUid = ""] = extra.get("authentication.kubernetes.io/pod-uid") ?? [];
      return boundToken(status.user.username, podName, podUid);
    },
  };
}
