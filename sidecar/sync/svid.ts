/**
 * The workload's own X509-SVID: obtained once by join token, then renewed over mTLS with the certificate held, with a new
 * key each time, at half of its life give or take a tenth. A failed renewal is retried with jittered backoff while the
 * valid certificate keeps serving; past its end nothing is served.
 */
import { generateKeyPairSync } from "node:crypto";
import type { Logger } from "pino";
import { createBackoff } from "../../common/runtime/backoff.ts";
import { wait, type Clock } from "../../common/runtime/clock.ts";
import { createCsr } from "../../common/x509/csr.ts";
import { encodePem } from "../../common/x509/pem.ts";
import { checkLeaf } from "../../common/x509/svid-profile.ts";
import type { IssueSvidRequest, TrustBundle } from "../../common/gen/mesh/v1/identity.ts";
import type { Identity } from "../tls/profile.ts";
import { callUnary, connectControlPlane, isRefusal, type ControlPlaneTarget } from "./control-plane.ts";

const issueTimeoutMs = 10_000;

/** Proves the workload by `proof` and returns its new identity. */
async function requestIdentity(
  target: ControlPlaneTarget,
  held: Identity | undefined,
  proof: NonNullable<IssueSvidRequest["proof"]>,
  signal: AbortSignal,
): Promise<Identity> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const controlPlane = connectControlPlane(target, held);
  try {
    const response = await callUnary(
      controlPlane.identity.issueSvid.bind(controlPlane.identity),
      { csr: createCsr(keys), proof, lifetimeSeconds: 0 },
      { timeoutMs: issueTimeoutMs, signal },
    );
    const [leafDer] = response.certificateChain;
    if (!leafDer) throw new Error("the control plane answered without a certificate");
    const leaf = checkLeaf(leafDer);
    if (leaf.spiffeId !== response.spiffeId || (held && leaf.spiffeId !== held.spiffeId)) {
      throw new Error(`the certificate issued is for ${leaf.spiffeId}, not for ${held?.spiffeId ?? response.spiffeId}`);
    }
    return {
      spiffeId: leaf.spiffeId,
      certificateChain: response.certificateChain.map((der) => encodePem("CERTIFICATE", der)).join(""),
      privateKey: keys.privateKey.export({ type: "pkcs8", format: "pem" }),
      authorities: authoritiesOf(response.bundles, target),
      notBefore: leaf.notBefore * 1000,
      notAfter: leaf.notAfter * 1000,
    };
  } finally {
    controlPlane.close();
  }
}

/** PEM roots of the own trust domain; what was trusted before stays where the answer has none. */
export function authoritiesOf(bundles: readonly TrustBundle[], target: ControlPlaneTarget): string {
  const own = bundles.find((bundle) => bundle.trustDomain === target.trustDomain);
  if (!own || own.x509Authorities.length === 0) return target.authorities;
  return own.x509Authorities.map((der) => encodePem("CERTIFICATE", der)).join("");
}

export interface SvidOptions {
  readonly target: ControlPlaneTarget;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

function backoffOf({ clock, random }: SvidOptions) {
  return createBackoff({ baseMilliseconds: 200, maximumMilliseconds: 30_000, clock, random });
}

/**
 * The first identity. Retries while the control plane cannot be reached; rejects when it refuses, because a refused join
 * token will not get better.
 */
export async function attest(options: SvidOptions, joinToken: string, signal: AbortSignal): Promise<Identity> {
  const backoff = backoffOf(options);
  for (;;) {
    try {
      return await requestIdentity(options.target, undefined, { $case: "joinToken", value: { token: joinToken } }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isRefusal(error)) throw new Error("the control plane refused to issue a certificate", { cause: error });
      options.log.warn({ err: error }, "no certificate yet, trying again");
      await backoff.wait(signal);
    }
  }
}

/** Keeps the identity fresh until `signal`: calls `onRenewed` with each new one and `onFailure` for each failed try. */
export async function renewForever(
  options: SvidOptions,
  first: Identity,
  handlers: { onRenewed: (identity: Identity) => void; onFailure: () => void },
  signal: AbortSignal,
): Promise<void> {
  const { clock } = options;
  const backoff = backoffOf(options);
  let held = first;
  for (;;) {
    const life = held.notAfter - held.notBefore;
    const dueAt = held.notBefore + life * (0.5 + (options.random() - 0.5) * 0.2);
    // Waits are cut to a minute, so that a clock that jumped or a machine that slept is noticed: the wall clock rules.
    while (clock.now() < dueAt) await wait(clock, Math.min(dueAt - clock.now(), 60_000), signal);
    for (let renewed = false; !renewed;) {
      try {
        held = await requestIdentity(options.target, held, { $case: "svid", value: {} }, signal);
        renewed = true;
        backoff.reset();
        handlers.onRenewed(held);
      } catch (error) {
        signal.throwIfAborted();
        handlers.onFailure();
        options.log.warn({ err: error, notAfter: new Date(held.notAfter).toISOString() }, "renewal failed, trying again");
        await backoff.wait(signal);
      }
    }
  }
}
