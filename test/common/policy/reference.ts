/**
 * The rules of policy.md once more, as slowly and plainly as they can be written: raw JSON, regular expressions, every statement
 * looked at. What common/policy decides is held to this.
 */
export type Values = ReadonlyMap<string, string | readonly string[]>;
export type OneOrMore = string | readonly string[];

export interface RawStatement {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Principal?: RawPrincipal;
  readonly NotPrincipal?: RawPrincipal;
  readonly Action?: OneOrMore;
  readonly NotAction?: OneOrMore;
  readonly Resource?: OneOrMore;
  readonly NotResource?: OneOrMore;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMore>>>>;
}

export type RawPrincipal = "*" | { readonly AWS?: OneOrMore; readonly SPIFFE?: OneOrMore };

export interface RawDocument {
  readonly Version?: string;
  readonly Statement: readonly RawStatement[];
}

export interface RawPolicy {
  readonly name: string;
  readonly document: RawDocument;
  readonly mode: "enforce" | "audit";
}

export interface RawPolicySet {
  readonly identity: readonly RawPolicy[];
  readonly boundary?: readonly RawPolicy[] | undefined;
  readonly session?: readonly RawPolicy[] | undefined;
  readonly resource?: readonly RawPolicy[] | undefined;
  readonly guardrails?: readonly (readonly RawPolicy[])[] | undefined;
}

export interface ReferenceRequest {
  readonly action: string;
  readonly resource: string;
  readonly principal: { readonly sessionArn: string; readonly roleArn: string; readonly spiffeId: string; readonly trustDomain: string };
  readonly values: Values;
}

export interface ReferenceOutcome {
  readonly decision: "allow" | "deny";
  readonly reason: string;
  readonly statement: { readonly policy: string; readonly sid: string | undefined; readonly index: number } | undefined;
}

const list = (value: OneOrMore | undefined): readonly string[] => (value === undefined ? [] : typeof value === "string" ? [value] : value);

/** A pattern as a regular expression, or undefined if one of its variables has no value. */
export function regexOf(
  pattern: string,
  { wildcards = true, variables, values, arn = false }: { wildcards?: boolean; variables: boolean; values: Values; arn?: boolean },
): RegExp | undefined {
  let source = "";
  let colons = 0;
  const token = variables ? /\$\{([^},]*)(?:, *'([^']*)')?\}|[^]/g : /[^]/g;
  for (const [text, key, fallback] of pattern.matchAll(token)) {
    const any = arn && colons < 5 ? "[^:]" : "[^]";
    if (key !== undefined) {
      if (["*", "?", "$"].includes(key)) source += RegExp.escape(key);
      else {
        const found = values.get(key.toLowerCase());
        const value =
          found === undefined || found.length === 0
            ? fallback
            : typeof found === "string"
              ? found
              : found[1] === undefined
                ? found[0]
                : undefined;
        const real = typeof found === "string" ? found : value;
        if (real === undefined) return undefined;
        source += arn && colons < 5 && real.includes(":") ? "(?!)" : RegExp.escape(real);
      }
      continue;
    }
    if (text === ":") colons += 1;
    if (wildcards && text === "*") source += `${any}*`;
    else if (wildcards && text === "?") source += any;
    else source += RegExp.escape(text);
  }
  return new RegExp(`^${source}$`);
}

function actionMatches({ Action, NotAction }: RawStatement, action: string): boolean {
  const some = [...list(Action), ...list(NotAction)].some((pattern) =>
    regexOf(pattern.toLowerCase(), { variables: false, values: new Map() })?.test(action.toLowerCase()),
  );
  return NotAction === undefined ? some : !some;
}

function resourceMatches({ Effect, Resource, NotResource }: RawStatement, resource: string, variables: boolean, values: Values): boolean {
  const patterns = [...list(Resource), ...list(NotResource)].map((pattern) =>
    pattern === "*" ? /^[^]*$/ : regexOf(pattern, { variables, values, arn: true }),
  );
  const some = patterns.some((pattern) => pattern?.test(resource) === true);
  if (NotResource === undefined) return some;
  return !some && (Effect === "Deny" || !patterns.includes(undefined));
}

type Naming = "no" | "yes" | "session";

function naming(raw: RawPrincipal, { sessionArn, roleArn, spiffeId }: ReferenceRequest["principal"]): Naming {
  const arns = raw === "*" ? ["*"] : list(raw.AWS);
  const ids = raw === "*" ? [] : list(raw.SPIFFE);
  if (arns.includes(sessionArn)) return "session";
  if (arns.includes("*") || arns.includes(roleArn)) return "yes";
  return ids.some((id) => id === spiffeId || (id.endsWith("/*") && spiffeId.startsWith(id.slice(0, -1)))) ? "yes" : "no";
}

function principalNaming({ Principal, NotPrincipal }: RawStatement, principal: ReferenceRequest["principal"]): Naming {
  if (NotPrincipal !== undefined) return naming(NotPrincipal, principal) === "no" ? "yes" : "no";
  return Principal === undefined ? "yes" : naming(Principal, principal);
}

function toNumber(address: string): bigint | undefined {
  if (!/^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/.test(address)) return undefined;
  return address.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function inNetwork(address: string, network: string): boolean | undefined {
  const value = toNumber(address);
  const [base = "", bits = "32"] = network.split("/");
  if (value === undefined) return undefined;
  const shift = 32n - BigInt(bits);
  return value >> shift === (toNumber(base) ?? -1n) >> shift;
}

/** Whether one value of the request satisfies the operator, undefined if it cannot be read. IPv4 alone, the generator's. */
function satisfies(operator: string, value: string, wanted: readonly string[], variables: boolean, values: Values): boolean | undefined {
  const negated = operator.includes("Not");
  const base = operator.replace("Not", "");
  const results = wanted.map((one) => {
    switch (base) {
      case "StringEquals":
        return regexOf(one, { wildcards: false, variables, values })?.test(value) === true;
      case "StringEqualsIgnoreCase": {
        const pattern = regexOf(one, { wildcards: false, variables, values });
        return pattern !== undefined && new RegExp(pattern.source, "i").test(value);
      }
      case "StringLike":
        return regexOf(one, { variables, values })?.test(value) === true;
      case "Bool":
        return /^(?:true|false)$/i.test(value) ? one.toLowerCase() === value.toLowerCase() : undefined;
      case "IpAddress":
        return inNetwork(value, one);
      default:
        throw new Error(operator);
    }
  });
  if (results.includes(undefined)) return undefined;
  return results.includes(true) !== negated;
}

function conditionHolds(
  operator: string,
  key: string,
  wanted: readonly string[],
  statement: RawStatement,
  variables: boolean,
  values: Values,
): boolean {
  const found = values.get(key.toLowerCase());
  const present = found === undefined ? [] : typeof found === "string" ? [found] : found;
  if (operator === "Null") return wanted.some((one) => (one === "true") === (present.length === 0));
  const set = /^(?:ForAnyValue|ForAllValues)(?=:)/.exec(operator)?.[0];
  const name = operator.replace(/^.*:/, "").replace(/IfExists$/, "");
  if (present.length === 0) {
    if (operator.endsWith("IfExists") || set === "ForAllValues") return true;
    return set === undefined && name.includes("Not");
  }
  const each = present.map((value) => satisfies(name, value, wanted, variables, values) ?? statement.Effect === "Deny");
  const all = set === "ForAllValues" || (set === undefined && name.includes("Not"));
  return all ? !each.includes(false) : each.includes(true);
}

export function statementApplies(statement: RawStatement, version: string | undefined, request: ReferenceRequest): Naming {
  const variables = version === "2012-10-17";
  const { values } = request;
  if (!actionMatches(statement, request.action)) return "no";
  if (!resourceMatches(statement, request.resource, variables, values)) return "no";
  for (const [operator, block] of Object.entries(statement.Condition ?? {})) {
    for (const [key, wanted] of Object.entries(block)) {
      if (!conditionHolds(operator, key, list(wanted), statement, variables, values)) return "no";
    }
  }
  return principalNaming(statement, request.principal);
}

interface Found {
  readonly deny: ReferenceOutcome["statement"];
  readonly allow: ReferenceOutcome["statement"];
  readonly sessionAllow: ReferenceOutcome["statement"];
}

function look(policies: readonly RawPolicy[], request: ReferenceRequest): Found {
  const applying = policies.flatMap(({ name, document }) =>
    document.Statement.map((statement, index) => ({
      effect: statement.Effect,
      named: statementApplies(statement, document.Version, request),
      reference: { policy: name, sid: statement.Sid, index },
    })),
  );
  const first = (effect: string, wanted: readonly Naming[]): ReferenceOutcome["statement"] =>
    applying.find((one) => one.effect === effect && wanted.includes(one.named))?.reference;
  return { deny: first("Deny", ["yes", "session"]), allow: first("Allow", ["yes", "session"]), sessionAllow: first("Allow", ["session"]) };
}

/** `audited` says whether policies in audit mode count. */
export function referenceEvaluate(request: ReferenceRequest, set: RawPolicySet, local: string, audited: boolean): ReferenceOutcome {
  const inForce = (policies: readonly RawPolicy[] | undefined): Found | undefined => {
    const counted = policies?.filter(({ mode }) => audited || mode === "enforce");
    const onlyAudited = counted?.length === 0 && policies?.length !== 0;
    return counted === undefined || onlyAudited ? undefined : look(counted, request);
  };
  const identity = inForce(set.identity);
  const resource = inForce(set.resource);
  const boundary = inForce(set.boundary);
  const session = inForce(set.session);
  const guardrails = (set.guardrails ?? []).map(inForce);
  const denied = (reason: string, statement?: ReferenceOutcome["statement"]): ReferenceOutcome => ({
    decision: "deny",
    reason,
    statement,
  });

  for (const found of [identity, resource, boundary, session, ...guardrails]) if (found?.deny) return denied("explicit-deny", found.deny);
  for (const found of guardrails) if (found && !found.allow) return denied("guardrail");
  const foreign = request.principal.trustDomain !== local;
  if (!foreign && resource?.sessionAllow) return { decision: "allow", reason: "resource-policy", statement: resource.sessionAllow };
  const statement = identity?.allow ?? resource?.allow;
  if (!statement) return denied("no-allow");
  if (foreign && !identity?.allow) return denied("no-identity-allow");
  if (foreign && !resource?.allow) return denied("no-resource-allow");
  if (boundary && !boundary.allow) return denied("boundary");
  if (session && !session.allow) return denied("session-policy");
  const reason = foreign ? "both-policies" : identity?.allow ? "identity-policy" : "resource-policy";
  return { decision: "allow", reason, statement };
}
