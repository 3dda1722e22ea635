/**
 * Whether a call may leave the mesh, and to which address. Everything that can be said without a look-up is said first, so
 * that the name of a host that is refused is not even asked for. What is allowed is an address, not a name: the caller
 * connects to one of the addresses it is given and resolves nothing again.
 *
 * With `egress: declared`
 * - the host (SNI, `Host`, `:authority`, or the target of a proxied call) has to be listed for the port, and what is spoken there
 *   has to be what is declared;
 * - where the connection was redirected, the address it was going to has to be one of the host's, by the sidecar's own look-up;
 * - a connection that names no host is one to a host that is listed for its port as `tcp` and is at that address.
 *
 * With `egress: allow` a connection goes on to where it was going, whoever it names, and nothing waits for a look-up.
 *
 * In both, what a policy of the caller's roles denies is refused, by name or by address, and so is a host that is listed with
 * `policy: required` and that none of them allows; and so are the addresses of forbidden.ts that are not listed. With `allow`
 * policies reach only as far as programs name what they call.
 */
import { canonicalIp, formatIp, ipFromString, networkContains } from "../../../common/net/ip.ts";
import type { Protocol } from "../../detect/protocol.ts";
import { allowed, denied, forbidden, misplaced, refused, undeclared } from "./decision.ts";
import type { EgressAllowed, EgressDecision, EgressTarget } from "./decision.ts";
import type { EgressState } from "./egress-state.ts";
import { maySpeak, type ExternalHost } from "./external-services.ts";
import { isForbidden, isMetadataName } from "./forbidden.ts";
import type { EgressVerdict } from "./permissions.ts";
import { ResolveError, type Resolver } from "./resolver.ts";

export interface EgressCall {
  /** As `normalizeAuthority` or `parseClientHello` give it; undefined or empty where the connection names none. */
  readonly host: string | undefined;
  /** That the connection goes to: the original destination's, or else the authority's. */
  readonly port: number;
  readonly protocol: Protocol;
  /** IP address that a redirected connection was going to; undefined for a proxied call. */
  readonly originalDestination: string | undefined;
}

export interface EgressDecider {
  decide(call: EgressCall): Promise<EgressDecision>;
  /**
   * Whether what was allowed before is so now: for connections that are open when a snapshot comes. `addresses` are to be those
   * it is connected to. Looks nothing up.
   */
  recheck(allowed: EgressAllowed): EgressDecision;
}

export interface EgressDeciderOptions {
  readonly state: () => EgressState;
  readonly resolver: Resolver;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

export function createEgressDecider({ state, resolver, now }: EgressDeciderOptions): EgressDecider {
  return {
    async decide({ host, port, protocol, originalDestination }) {
      const original = originalDestination === undefined ? undefined : canonicalIp(originalDestination);
      const name = hostOf(host);
      const about = { state: state(), now: now(), port, protocol };
      if (name !== undefined) return await decideNamed({ ...about, host: name }, original, resolver);
      if (original !== undefined) return await decideNameless({ ...about, host: original }, resolver);
      return refused("malformed-target", "the call names no host", undefined);
    },
    recheck: (allowed) => recheck(allowed, state(), now()),
  };
}

/** Lower-case, without brackets, addresses in the form of `formatIp`. */
function hostOf(host: string | undefined): string | undefined {
  if (host === undefined || host === "") return undefined;
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host.toLowerCase();
  return canonicalIp(bare) ?? bare;
}

interface Question extends EgressTarget {
  readonly state: EgressState;
  /** Epoch milliseconds. */
  readonly now: number;
}

async function decideNamed(question: Question, original: string | undefined, resolver: Resolver): Promise<EgressDecision> {
  const { state, host, port, protocol } = question;
  const found = state.services.find(host, port);
  const listed = found !== undefined && maySpeak(found, protocol) ? found : undefined;
  if (listed === undefined && state.mode === "declared") return undeclared(question, found);
  if (isMetadataName(host) && listed?.host !== host) return forbidden(host, port, listed);
  // A policy is asked for whatever is spoken.
  const verdict = judge(question, found);
  if (verdict.denied !== undefined) return denied(verdict, question, listed);
  try {
    if (original === undefined) return await proxied(question, listed, verdict, resolver);
    return await redirected(question, original, listed, verdict, resolver);
  } catch (error) {
    if (!(error instanceof ResolveError)) throw error;
    return refused("egress-unresolved", error.message, listed);
  }
}

/** To the address that the application found. */
async function redirected(
  question: Question,
  original: string,
  listed: ExternalHost | undefined,
  verdict: EgressVerdict,
  resolver: Resolver,
): Promise<EgressDecision> {
  const { state, host, port } = question;
  if (isForbiddenFor(original, listed)) return forbidden(original, port, listed);
  const byAddress = judgeAddress(question, original);
  if (byAddress.denied !== undefined) return denied(byAddress, { ...question, host: original }, listed);
  if (state.mode === "declared" && listed !== undefined) {
    const there = isWithin(original, listed) || (listed.resolved && (await resolver.isAt(host, original)));
    if (!there) return misplaced(host, original, listed);
  }
  return allowed(question, [original], listed, verdict);
}

/** To whichever address the host has. */
async function proxied(
  question: Question,
  listed: ExternalHost | undefined,
  verdict: EgressVerdict,
  resolver: Resolver,
): Promise<EgressDecision> {
  const { host, port } = question;
  const found = ipFromString(host) === undefined ? await addressesOf(host, listed, resolver) : [host];
  const own = listed === undefined || listed.resolved ? found : found.filter((address) => isWithin(address, listed));
  if (own.length === 0) return misplaced(host, "any of the addresses that are listed for it", listed);
  const safe = own.filter((address) => !isForbiddenFor(address, listed));
  if (safe.length === 0) return forbidden(own.join(", "), port, listed);
  const verdicts = safe.map((address) => ({ address, byAddress: judgeAddress(question, address) }));
  const open = verdicts.filter(({ byAddress }) => byAddress.denied === undefined);
  const [shut] = verdicts;
  if (open.length === 0 && shut !== undefined) return denied(shut.byAddress, { ...question, host: shut.address }, listed);
  return allowed(
    question,
    open.map(({ address }) => address),
    listed,
    verdict,
  );
}

async function addressesOf(host: string, listed: ExternalHost | undefined, resolver: Resolver): Promise<readonly string[]> {
  // Single addresses need nobody to say where they are.
  if (listed !== undefined && !listed.resolved && listed.networks.every(({ bits, words }) => bits === words.length * 32)) {
    return listed.networks.map(({ words }) => formatIp(words));
  }
  return await resolver.resolve(host);
}

/** A connection that tells nothing of where it goes but the address: TCP, or TLS without a server name. `host` is the address. */
async function decideNameless(question: Question, resolver: Resolver): Promise<EgressDecision> {
  const { state, port, protocol, host: address } = question;
  const exact = state.services.find(address, port);
  const itself = exact !== undefined && maySpeak(exact, protocol) ? [exact] : [];
  const others = state.services.onPort(port).filter((each) => each !== exact && each.protocols.has("tcp"));
  const there = [...itself, ...(await hostsAt(address, others, state.mode === "declared" ? resolver : undefined))];
  const [first] = there;
  if (first === undefined && state.mode === "declared") return undeclared(question, exact);
  if (
    isForbidden(
      ipFromString(address) ?? [],
      there.flatMap(({ networks }) => networks),
    )
  )
    return forbidden(address, port, first);
  // Several hosts may be at one address, and no byte tells which is meant: what refuses one of them refuses all.
  let verdict = first === undefined ? judge(question, undefined) : judgeAddress(question, address);
  if (verdict.denied !== undefined) return denied(verdict, question, first);
  for (const listed of there) {
    const named = { ...question, host: nameAt(listed, address) };
    verdict = judge(named, listed);
    if (verdict.denied !== undefined) return denied(verdict, named, listed);
  }
  return allowed(first === undefined ? question : { ...question, host: nameAt(first, address) }, [address], first, verdict);
}

/** Which of the hosts a wildcard stands for is not known by the address. */
function nameAt({ host }: ExternalHost, address: string): string {
  return isWildcard(host) ? address : host;
}

function isWildcard(host: string): boolean {
  return host.startsWith("*.");
}

/** Those of `hosts` that are at the address; without a resolver, those that are listed to be there. */
async function hostsAt(address: string, hosts: readonly ExternalHost[], resolver: Resolver | undefined): Promise<readonly ExternalHost[]> {
  const found = await Promise.all(
    hosts.map(async (listed) => {
      if (isWithin(address, listed)) return true;
      if (!listed.resolved || isWildcard(listed.host) || resolver === undefined) return false;
      try {
        return await resolver.isAt(listed.host, address);
      } catch (error) {
        // That one host cannot be found says nothing of the others.
        if (error instanceof ResolveError) return false;
        throw error;
      }
    }),
  );
  return hosts.filter((_, index) => found[index]);
}

function recheck(call: EgressAllowed, state: EgressState, now: number): EgressDecision {
  const { host, port, protocol, addresses, label } = call;
  const question: Question = { state, now, host, port, protocol };
  // By its label for a host that is known by its address alone.
  const found = state.services.find(host, port) ?? state.services.find(label, port);
  const listed = found !== undefined && maySpeak(found, protocol) ? found : undefined;
  if (listed === undefined && state.mode === "declared") return undeclared(question, found);
  for (const address of addresses) {
    if (isForbiddenFor(address, listed)) return forbidden(address, port, listed);
    const elsewhere = listed !== undefined && !listed.resolved && !isWithin(address, listed);
    if (elsewhere && state.mode === "declared") return misplaced(host, address, listed);
    const byAddress = judgeAddress(question, address);
    if (byAddress.denied !== undefined) return denied(byAddress, { ...question, host: address }, listed);
  }
  const verdict = judge(question, found);
  return verdict.denied === undefined ? call : denied(verdict, question, listed);
}

function judge({ state, host, port, protocol, now }: Question, listed: ExternalHost | undefined): EgressVerdict {
  return state.permissions.judge({ host, port, protocol }, listed?.policyRequired !== true, now);
}

/** Only a Deny can be written for the address of a host that has a name. */
function judgeAddress(question: Question, address: string): EgressVerdict {
  return judge({ ...question, host: address }, undefined);
}

function isWithin(address: string, { networks }: ExternalHost): boolean {
  const words = ipFromString(address);
  return words !== undefined && networks.some((network) => networkContains(network, words));
}

function isForbiddenFor(address: string, listed: ExternalHost | undefined): boolean {
  const words = ipFromString(address);
  return words === undefined || isForbidden(words, listed?.networks ?? []);
}
