/**
 * Tokens checked here, by the API server's public keys: no request for each of them, and renewals that go on while the API server is
 * away. What is given up: a service account that was deleted is noticed only when its tokens have run out, within the hour.
 *
 * Keys are those of the API server that we talk to, never of an address that a token names.
 * https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
 */
import { createLocalJWKSet, errors, jwtVerify } from "jose";
import type { JSONWebKeySet, JWTPayload } from "jose";
import { z } from "zod";
import type { Clock } from "../../common/runtime/clock.ts";
import type { KubernetesClient } from "../kubernetes/client.ts";
import { KubernetesError } from "../kubernetes/error.ts";
import { audience, boundToken, refusal } from "./kubernetes-token.ts";
import type { TokenReader } from "./kubernetes-token.ts";

const freshMilliseconds = 300_000;
/** After this long without the API server, its keys may be others. */
const longestMilliseconds = 86_400_000;
/** Anybody can name a key that there is not. */
const askAgainMilliseconds = 10_000;
const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"];

const discovery = z.object({ issuer: z.string().min(1).max(1024) });
const keySet = z.object({
  keys: z
    .array(z.looseObject({ kty: z.enum(["RSA", "EC"]) }))
    .min(1)
    .max(100),
});
const boundClaims = z.object({
  sub: z.string(),
  "kubernetes.io": z.object({ pod: z.object({ name: z.string(), uid: z.string() }).optional() }),
});

interface Keys {
  readonly issuer: string;
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly readAt: number;
}

export function createOfflineTokens(options: {
  readonly client: Pick<KubernetesClient, "request">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}): TokenReader {
  const { client, clock, signal } = options;
  let keys: Keys | undefined;
  let askedAt = -Infinity;
  let asking: Promise<Keys> | undefined;

  async function ask(): Promise<Keys> {
    const get = async (path: string, accept: string) => await client.request({ method: "GET", path, accept, signal });
    const { issuer } = discovery.parse(await get("/.well-known/openid-configuration", "application/json"));
    const found = keySet.parse(await get("/openid/v1/jwks", "application/jwk-set+json")) as JSONWebKeySet;
    keys = { issuer, find: createLocalJWKSet(found), readAt: clock.now() };
    return keys;
  }

  function askOnce(): Promise<Keys> {
    askedAt = clock.now();
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  }

  /** Old ones serve while there are no others. Throws KubernetesError, ZodError. */
  async function present(): Promise<Keys> {
    const known = keys;
    if (known === undefined) return await askOnce();
    const age = clock.now() - known.readAt;
    if (age < freshMilliseconds) return known;
    if (clock.now() - askedAt < askAgainMilliseconds && age < longestMilliseconds) return known;
    try {
      return await askOnce();
    } catch (error) {
      if (age < longestMilliseconds) return known;
      throw error;
    }
  }

  async function verified(token: string, { issuer, find }: Keys): Promise<JWTPayload> {
    const currentDate = new Date(clock.now());
    const { payload } = await jwtVerify(token, find, { issuer, audience, algorithms, currentDate, requiredClaims: ["exp", "sub"] });
    return payload;
  }

  /** A key that is not known may have been made since. */
  async function verifiedByAny(token: string): Promise<JWTPayload> {
    const known = await present();
    try {
      return await verified(token, known);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || clock.now() - askedAt < askAgainMilliseconds) throw error;
      return await verified(token, await askOnce());
    }
  }

  return {
    trustsKnownPods: true,
    async read(token) {
      let payload: JWTPayload;
      try {
        payload = await verifiedByAny(token);
      } catch (error) {
        if (error instanceof errors.JOSEError) throw refusal("token-refused", { error: error.message.slice(0, 300) });
        if (error instanceof z.ZodError) throw new KubernetesError("malformed-answer", "the keys of service accounts", { cause: error });
        throw error;
      }
      const read = boundClaims.safeParse(payload);
      if (!read.success) throw refusal("token-unbound", { user: String(payload.sub).slice(0, 300) });
      const { sub, "kubernetes.io": bound } = read.data;
      return boundToken(sub, bound.pod?.name ?? "", bound.pod?.uid ?? "");
    },
  };
}
