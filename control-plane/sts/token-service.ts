/** TokenService: the mesh's STS over gRPC. Every method is for callers with a certificate of the mesh. */
import type { TokenServiceServer } from "../../common/gen/mesh/v1/token.ts";
import { formatSessionArn } from "../../common/policy/arn.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { SessionTokenError, sessionKeysFromJwks, verifySessionToken } from "../../common/session/claims.ts";
import type { Session } from "../../common/session/claims.ts";
import { attestationMethodOf } from "../attestation/attestation-record.ts";
import type { Distributor } from "../distribution/distributor.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { requirePeer } from "../server/peer.ts";
import type { PeerRegister } from "../server/peer.ts";
import { RequestError } from "../server/request-error.ts";
import { unary } from "../server/unary.ts";
import type { CallReport } from "../server/unary.ts";
import type { Store } from "../store/store.ts";
import { createAccessKeyId, secretAccessKeyOf } from "./access-key.ts";
import { grantSession } from "./assume-role.ts";
import type { Epoch, Epochs } from "./epochs.ts";
import { checkScopeDate, checkServes, checkSessionStands, scopedKey } from "./resolve-session.ts";
import { rolesOf } from "./roles.ts";
import { signSessionToken } from "./session-token.ts";

export function createTokenService(options: {
  readonly store: Store;
  readonly view: MeshView;
  readonly epochs: Epochs;
  readonly distributor: Distributor;
  readonly peers: PeerRegister;
  readonly clock: Pick<Clock, "now">;
  readonly report: CallReport;
}): TokenServiceServer {
  const { store, view, epochs, distributor, peers, clock, report } = options;

  async function verify(token: string, state: MeshState): Promise<Session> {
    try {
      const keys = sessionKeysFromJwks(epochs.jwks(state.epochs));
      return await verifySessionToken(token, keys, { trustDomain: state.trustDomain, now: clock.now() });
    } catch (error) {
      if (!(error instanceof SessionTokenError)) throw error;
      throw new RequestError("unauthenticated", `session-token-${error.code}`, error.message, { cause: error });
    }
  }

  function epochOf(session: Session, state: MeshState): Epoch {
    const epoch = epochs.byAccessKeyId(state.epochs, session.accessKeyId);
    if (epoch === undefined) throw new RequestError("unauthenticated", "unknown-epoch", "the session's keys are no longer kept");
    return epoch;
  }

  return {
    assumeRole: unary("AssumeRole", report, async (request, origin) => {
      const state = view.current();
      const { leaf, address } = requirePeer(peers, origin, state);
      const attestation = await attestationMethodOf(store, leaf.spiffeId);
      const now = clock.now();
      const grant = grantSession(request, { spiffeId: leaf.spiffeId, attestation, sourceIp: address }, state, now);
      const epoch = epochs.signing(state.epochs, now);
      const issuedAtSeconds = Math.floor(now / 1000);
      const session: Session = {
        accessKeyId: createAccessKeyId(epoch.day),
        trustDomain: state.trustDomain,
        roleArn: grant.role.arn,
        sessionName: grant.sessionName,
        spiffeId: leaf.spiffeId,
        attestation,
        tags: grant.tags,
        sourceIdentity: grant.sourceIdentity,
        sessionPolicy: grant.sessionPolicy,
        issuedAtSeconds,
        expiresAtSeconds: issuedAtSeconds + grant.durationSeconds,
      };
      const sessionToken = await signSessionToken(session, epoch);
      const assumedRoleArn = sessionArn(session, state);
      report.metrics.sessions.inc({ role_kind: grant.role.trust.by === "identity" ? "service-linked" : "declared" });
      const { accessKeyId, expiresAtSeconds } = session;
      report.logger.info(
        { event: "session-issued", spiffeId: leaf.spiffeId, session: assumedRoleArn, accessKeyId, expiresAtSeconds },
        "session issued",
      );
      return {
        accessKeyId,
        secretAccessKey: secretAccessKeyOf(accessKeyId, epoch.secretKey),
        sessionToken,
        expiresAtSeconds,
        assumedRoleArn,
      };
    }),

    resolveSession: unary("ResolveSession", report, async ({ sessionToken, scopeService, date }, origin) => {
      const state = view.current();
      const { leaf, address } = requirePeer(peers, origin, state);
      // First of all: a stranger does not learn whether a token is good.
      checkServes(leaf.spiffeId, scopeService, state);
      const session = await verify(sessionToken, state);
      checkScopeDate(date, session, state, clock.now());
      checkSessionStands(session, state);
      const signingKey = scopedKey(session, epochOf(session, state), date, state.region, scopeService);
      report.metrics.resolutions.inc();
      return { signingKey, accessKeyId: session.accessKeyId, revision: distributor.settledRevision({ spiffeId: leaf.spiffeId, address }) };
    }),

    getCallerIdentity: unary("GetCallerIdentity", report, async ({ sessionToken }, origin) => {
      const state = view.current();
      const { leaf } = requirePeer(peers, origin, state);
      if (sessionToken === "") return { spiffeId: leaf.spiffeId, arn: leaf.spiffeId, trustDomain: state.trustDomain };
      const session = await verify(sessionToken, state);
      if (session.spiffeId !== leaf.spiffeId) {
        throw new RequestError("permission-denied", "identity-mismatch", "the session is bound to another identity");
      }
      checkSessionStands(session, state);
      return { spiffeId: leaf.spiffeId, arn: sessionArn(session, state), trustDomain: state.trustDomain };
    }),
  };
}

/** The session's role is known to exist. */
function sessionArn(session: Session, state: MeshState): string {
  const role = rolesOf(state).get(session.roleArn);
  if (role === undefined) throw new RequestError("permission-denied", "unknown-role", "the session's role does not exist any more");
  return formatSessionArn({ trustDomain: state.trustDomain, namespace: role.namespace, role: role.name, session: session.sessionName });
}
