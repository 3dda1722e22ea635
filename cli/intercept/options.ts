/** The options of `countersign intercept`, read into a plan with everything that is wrong with them told at once. */
import { formatIp, networkFromString } from "../../common/net/ip.ts";
import { RulesError } from "./error.ts";
import { mergePorts, type Cidr, type InterceptPlan, type PortRange } from "./plan.ts";

/** As the command line has them. */
export interface RuleOptions {
  readonly mode?: string;
  readonly proxyUid?: string;
  readonly proxyGid?: string;
  readonly outboundPort?: string;
  readonly inboundPort?: string;
  readonly adminPorts?: string;
  readonly skipOutboundPorts?: string;
  readonly skipInboundPorts?: string;
  readonly skipOutboundCidrs?: string;
  readonly includeOutboundCidrs?: string;
}

/** Istio's, so that habits fit. */
export const proxyId = 1337;
export const outboundPort = 15001;
export const inboundPort = 15006;
export const adminPorts = "15000,15020,15021";

const largestId = 2 ** 32 - 2;

/** Throws RulesError `bad-option`. */
export function planOf(options: RuleOptions): InterceptPlan {
  const problems: string[] = [];
  function list<T>(option: string, text: string | undefined, expected: string, read: (item: string) => T | undefined): readonly T[] {
    const found: T[] = [];
    for (const item of (text ?? "").split(",").map((each) => each.trim())) {
      if (item === "") continue;
      const value = read(item);
      if (value === undefined) problems.push(`--${option}: expected ${expected}, found ${JSON.stringify(item)}`);
      else found.push(value);
    }
    return found;
  }
  const ids = (option: string, text: string | undefined) =>
    list(option, text, "numbers of users or groups", (item) => wholeNumber(item, largestId));
  const ports = (option: string, text: string | undefined) => mergePorts(list(option, text, "ports, such as 22,8000-8010", portRange));
  const port = (option: string, text: string) => {
    const value = wholeNumber(text, 65_535);
    if (!value) problems.push(`--${option}: expected a port, found ${JSON.stringify(text)}`);
    return value ?? 0;
  };
  const cidrs = (option: string, text: string | undefined) =>
    list(option, text, "addresses or networks, such as 10.0.0.0/8", cidrFromString);

  const { mode = "redirect" } = options;
  if (mode !== "redirect" && mode !== "tproxy") problems.push(`--mode: expected redirect or tproxy, found ${JSON.stringify(mode)}`);
  const plan: InterceptPlan = {
    mode: mode === "tproxy" ? "tproxy" : "redirect",
    proxyUids: ids("proxy-uid", options.proxyUid ?? String(proxyId)),
    proxyGids: ids("proxy-gid", options.proxyGid),
    outboundPort: port("outbound-port", options.outboundPort ?? String(outboundPort)),
    inboundPort: port("inbound-port", options.inboundPort ?? String(inboundPort)),
    adminPorts: ports("admin-ports", options.adminPorts ?? adminPorts),
    skipOutboundPorts: ports("skip-outbound-ports", options.skipOutboundPorts),
    skipInboundPorts: ports("skip-inbound-ports", options.skipInboundPorts),
    skipOutboundCidrs: cidrs("skip-outbound-cidrs", options.skipOutboundCidrs),
    includeOutboundCidrs: cidrs("include-outbound-cidrs", options.includeOutboundCidrs),
  };
  if (plan.proxyUids.length + plan.proxyGids.length === 0) {
    problems.push("--proxy-uid: expected at least one: the sidecar's own connections would come back to it for ever");
  }
  if (plan.outboundPort === plan.inboundPort) problems.push("--inbound-port: expected another than --outbound-port");
  if (problems.length > 0) throw new RulesError("bad-option", problems.join("; "));
  return plan;
}

function wholeNumber(text: string, maximum: number): number | undefined {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : undefined;
  return value !== undefined && value <= maximum ? value : undefined;
}

function portRange(text: string): PortRange | undefined {
  const [, from = "", to = from] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const [first, last] = [wholeNumber(from, 65_535), wholeNumber(to, 65_535)];
  return first !== undefined && last !== undefined && first > 0 && first <= last ? { first, last } : undefined;
}

function cidrFromString(text: string): Cidr | undefined {
  const network = networkFromString(text);
  return network && { family: network.words.length === 1 ? "ip" : "ip6", text: `${formatIp(network.words)}/${network.bits}` };
}
