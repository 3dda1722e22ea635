/**
 * AssumeRole: whether a caller may have a session of a role, and what the session is. Limits are AWS's
 * (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
 */
import { roleFromArn } from "../../common/policy/arn.ts";
import { policyFromJson } from "../../common/policy/document.ts";
import { PolicyError } from "../../common/policy/error.ts";
import { contextFromEntries } from "../../common/policy/request-context.ts";
import type { RequestContext } from "../../common/policy/request-context.ts";
import { evaluateTrust } from "../../common/policy/trust.ts";
import type { AssumeRoleRequest } from "../../common/gen/mesh/v1/token.ts";
import { identityOf } from "../../common/spiffe/id.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import { RequestError } from "../server/request-error.ts";
import { rolesOf } from "./roles.ts";
import type { Role } from "./roles.ts";

const shortestSessionSeconds = 900;
const sessionNameForm = /^[\w+=,.@-]{2,64}$/;
const tagKeyForm = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,128}$/u;
const tagValueForm = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]{0,256}$/u;

export interface Caller {
  readonly spiffeId: SpiffeId;
  /** How it was attested. */
  readonly attestation: string;
  /** IP address. */
  readonly sourceIp: string;
}

/** What a session will be, but for its key and its times. */
export interface SessionGrant {
  readonly role: Role;
  readonly sessionName: string;
  readonly durationSeconds: number;
  readonly tags: ReadonlyMap<string, string>;
  readonly sourceIdentity: string | undefined;
  readonly sessionPolicy: string | undefined;
}

/** Throws RequestError: `invalid-argument` for a request that nobody may make, `permission-denied` for one that this caller may not. */
export function grantSession(request: AssumeRoleRequest, caller: Caller, state: MeshState, now: number): SessionGrant {
  const tags = checkedTags(new Map(Object.entries(request.tags)));
  const sessionName = checked(request.roleSessionName, sessionNameForm, "the session name");
  const sourceIdentity =
    request.sourceIdentity === "" ? undefined : checked(request.sourceIdentity, sessionNameForm, "the source identity");
  const sessionPolicy = request.policy === "" ? undefined : checkedPolicy(request.policy);
  const role = trustedRole(request.roleArn, caller, state, { tags, sessionName, sourceIdentity, now });
  const durationSeconds = checkedDuration(request.durationSeconds, role, state);
  return { role, sessionName, durationSeconds, tags, sourceIdentity, sessionPolicy };
}

function invalid(reason: string, message: string, cause?: unknown): RequestError {
  return new RequestError("invalid-argument", reason, message, { cause });
}

function checked(text: string, form: RegExp, what: string): string {
  if (!form.test(text)) throw invalid("validation-error", `${what} is 2 to 64 of A-Z a-z 0-9 _ + = , . @ -`);
  return text;
}

function checkedTags(tags: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  if (tags.size > 50) throw invalid("validation-error", "a session has at most 50 tags");
  const seen = new Set<string>();
  for (const [key, value] of tags) {
    if (!tagKeyForm.test(key) || key.toLowerCase().startsWith("aws:") || !tagValueForm.test(value)) {
      throw invalid("validation-error", "a tag's key is 1 to 128 and its value at most 256 letters, digits, spaces and _.:/=+-@");
    }
    // AWS tells tags apart without regard to case, and so do conditions.
    if (seen.has(key.toLowerCase())) throw invalid("validation-error", "two tags have the same key");
    seen.add(key.toLowerCase());
  }
  return tags;
}

function checkedPolicy(text: string): string {
  if (text.length > 2048) throw invalid("packed-policy-too-large", "a session policy has at most 2048 characters");
  try {
    policyFromJson(text, "identity");
    return text;
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw invalid("malformed-policy-document", `the session policy is malformed: ${error.message.slice(0, 200)}`, error);
  }
}

function checkedDuration(seconds: number, role: Role, { mesh }: MeshState): number {
  if (seconds === 0) return Math.min(mesh.spec.sessionLifetimeSeconds, role.maxSessionSeconds);
  if (seconds >= shortestSessionSeconds && seconds <= role.maxSessionSeconds) return seconds;
  throw invalid("validation-error", `a session of this role lasts ${shortestSessionSeconds} to ${role.maxSessionSeconds} seconds`);
}

interface TrustInput {
  readonly tags: ReadonlyMap<string, string>;
  readonly sessionName: string;
  readonly sourceIdentity: string | undefined;
  readonly now: number;
}

/** The role, if it is there and trusts the caller. A caller is not told which of the two was missing. */
function trustedRole(roleArn: string, caller: Caller, state: MeshState, input: TrustInput): Role {
  const denied = (reason: string) => new RequestError("permission-denied", reason, "the caller may not assume this role");
  try {
    roleFromArn(roleArn);
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    throw invalid("validation-error", "the role's ARN is malformed", error);
  }
  const role = rolesOf(state).get(roleArn);
  if (role === undefined) throw denied("unknown-role");
  if (role.trust.by === "identity") {
    if (!role.trust.ids.includes(caller.spiffeId)) throw denied("not-trusted");
    // Nobody granted sts:TagSession or sts:SetSourceIdentity: what a service-linked role says of its caller is the mesh's to say.
    if (input.tags.size > 0 || input.sourceIdentity !== undefined) throw denied("tags-not-granted");
    return role;
  }
  const { document } = role.trust;
  const context = trustContext(caller, input);
  const actions = ["sts:AssumeRole"];
  if (input.tags.size > 0) actions.push("sts:TagSession");
  if (input.sourceIdentity !== undefined) actions.push("sts:SetSourceIdentity");
  for (const action of actions) {
    const { decision } = evaluateTrust(document, { action, spiffeId: caller.spiffeId, context });
    if (decision !== "allow") throw denied(action === "sts:AssumeRole" ? "not-trusted" : "tags-not-granted");
  }
  return role;
}

function trustContext({ spiffeId, attestation, sourceIp }: Caller, { tags, sessionName, sourceIdentity, now }: TrustInput): RequestContext {
  const identity = identityOf(spiffeId);
  return contextFromEntries([
    ["aws:SourceIp", sourceIp],
    ["aws:SecureTransport", "true"],
    ["aws:CurrentTime", new Date(now).toISOString()],
    ["aws:EpochTime", String(Math.floor(now / 1000))],
    ["sts:RoleSessionName", sessionName],
    ["mesh:Attestation", attestation],
    ["mesh:SourceTrustDomain", identity.trustDomain],
    ...(identity.kind === "workload" ? [["mesh:SourceNamespace", identity.namespace] as const] : []),
    ...(sourceIdentity === undefined ? [] : [["sts:SourceIdentity", sourceIdentity] as const]),
    ...(tags.size === 0 ? [] : [["aws:TagKeys", [...tags.keys()]] as const]),
    ...[...tags].map(([key, value]) => [`aws:RequestTag/${key}`, value] as const),
  ]);
}
