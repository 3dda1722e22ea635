/**
 * The workload's own X509-SVID: obtained once by its proof (a join token, a pod's token), then renewed over mTLS with the
 * certificate held, with a new key each time, at half of its life give or take a tenth. A failed renewal is retried with
 * jittered backoff while the valid certificate keeps serving; past its end nothing is served.
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
import { CredentialFileError, type Proof, type TrustAnchor } from "./proof.ts";
import { createSeldomWarning } from "./seldom-warning.ts";

const issueTimeoutMs = 10_000;

interface Request {
  readonly target: ControlPlaneTarget;
  readonly proof: NonNullable<IssueSvidRequest["proof"]>;
  /** Whose certificate the connection shows. */
  readonly shown?: Identity | undefined;
  /** What the certificate has to be for. */
  readonly spiffeId?: string | undefined;
}

/** Proves the workload and returns its new identity. */
async function requestIdentity({ target, proof, shown, spiffeId }: Request, signal: AbortSignal): Promise<Identity> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const controlPlane = connectControlPlane(target, shown);
  try {
    const response = await callUnary(
      controlPlane.identity.issueSvid.bind(controlPlane.identity),
      { csr: createCsr(keys), proof, lifetimeSeconds: 0 },
      { timeoutMs: issueTimeoutMs, signal },
    );
    const [leafDer] = response.certificateChain;
    if (!leafDer) throw new Error("the control plane answered without a certificate");
    const leaf = checkLeaf(leafDer);
    const expected = spiffeId ?? response.spiffeId;
    if (leaf.spiffeId !== response.spiffeId || leaf.spiffeId !== expected) {
      throw new Error(`the certificate issued is for ${leaf.spiffeId}, not for ${expected}`);
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
  readonly anchor: TrustAnchor;
  readonly proof: Proof;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

/** A workload that has nothing is worth more questions than one that has half of a certificate's life left. */
const mostBetweenFirstTriesMs = 10_000;
const mostBetweenRenewalsMs = 30_000;
const sameProblemAgainMs = 60_000;

function backoffOf({ clock, random }: SvidOptions, maximumMilliseconds: number) {
  return createBackoff({ baseMilliseconds: 200, maximumMilliseconds, clock, random });
}

/**
 * The first identity, and the control plane that gave it. Retries while the control plane cannot be reached. A proof that can be
 * repeated is, whatever stands in the way: files may come late, and so may the control plane's knowledge of a pod. A join token
 * that was refused will not get better: rejects. `onProblem` is told what each attempt failed by.
 */
export async function attest(
  options: SvidOptions,
  onProblem: (error: unknown) => void,
  signal: AbortSignal,
): Promise<{ readonly identity: Identity; readonly target: ControlPlaneTarget }> {
  const { anchor, proof, clock, log } = options;
  const backoff = backoffOf(options, mostBetweenFirstTriesMs);
  const warn = createSeldomWarning(log, clock, sameProblemAgainMs);
  for (;;) {
    try {
      const target = await anchor.read();
      return { target, identity: await requestIdentity({ target, proof: await proof.read() }, signal) };
    } catch (error) {
      signal.throwIfAborted();
      const refused = isRefusal(error);
      if (!proof.repeatable) {
        if (refused) throw new Error("the control plane refused to issue a certificate", { cause: error });
        if (error instanceof CredentialFileError) throw error;
      }
      onProblem(error);
      warn(error, refused ? "the control plane refuses to issue a certificate, trying again" : "no certificate yet, trying again");
      await backoff.wait(signal);
    }
  }
}

/**
 * Keeps the identity fresh until `signal`: calls `onRenewed` with each new one and `onFailure` for each failed try. `current` is
 * the one in use, whose roots may have changed since it was issued. One that has ended proves nothing any more: then the workload
 * is attested anew, where its proof can be repeated.
 */
export async function renewForever(
  options: SvidOptions,
  current: () => Identity,
  target: ControlPlaneTarget,
  handlers: { onRenewed: (identity: Identity) => void; onFailure: () => void },
  signal: AbortSignal,
): Promise<void> {
  const { anchor, proof, clock, log } = options;
  const backoff = backoffOf(options, mostBetweenRenewalsMs);

  async function renew(held: Identity): Promise<Identity> {
    const { spiffeId } = held;
    if (clock.now() < held.notAfter || !proof.repeatable) {
      return await requestIdentity({ target, proof: { $case: "svid", value: {} }, shown: held, spiffeId }, signal);
    }
    return await requestIdentity({ target: await anchor.read(), proof: await proof.read(), spiffeId }, signal);
  }

  for (;;) {
    const { notBefore, notAfter } = current();
    const dueAt = notBefore + (notAfter - notBefore) * (0.5 + (options.random() - 0.5) * 0.2);
    // Waits are cut to a minute, so that a clock that jumped or a machine that slept is noticed: the wall clock rules.
    while (clock.now() < dueAt) await wait(clock, Math.min(dueAt - clock.now(), 60_000), signal);
    for (let renewed = false; !renewed;) {
      try {
        const next = await renew(current());
        renewed = true;
        backoff.reset();
        handlers.onRenewed(next);
      } catch (error) {
        signal.throwIfAborted();
        handlers.onFailure();
        log.warn({ err: error, notAfter: new Date(notAfter).toISOString() }, "renewal failed, trying again");
        await backoff.wait(signal);
      }
    }
  }
}
