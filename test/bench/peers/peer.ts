/** What every peer has in common: a pair of proxies, each its own process with one worker, between the load and the application. */
import { startRelay, type Relay } from "../load/relay.ts";
import type { Target } from "../load/target.ts";
import type { PeerName } from "../options.ts";
import type { Running } from "../processes.ts";
import { waitForCall, waitForPage } from "../ready.ts";
import type { Site } from "../site.ts";

/** What a pair is to carry. */
export interface PairPlan {
  /** HTTP/1.1 on both applications' legs, or HTTP/2 with prior knowledge on them and HTTP/2 between the proxies. */
  readonly protocol: "http1" | "grpc";
  /** Whether the connections between the two go through a relay that can end them. */
  readonly relayed: boolean;
}

export interface Pair {
  readonly caller: Running;
  readonly receiver: Running;
  readonly relay: Relay | undefined;
}

export interface Peer {
  readonly name: PeerName;
  readonly target: Target;
  /** Whose CPU and memory count; undefined for the application alone. */
  readonly pair: Pair | undefined;
}

/** Both processes of the pair. */
export function proxiesOf(peer: Peer): readonly Running[] {
  return peer.pair === undefined ? [] : [peer.pair.receiver, peer.pair.caller];
}

/** The application's port for that plan. */
export function applicationPort(site: Site, plan: PairPlan): number {
  return plan.protocol === "grpc" ? site.application.grpcPort : site.application.http1Port;
}

/** A relay where the plan has one; it goes with the site's processes. */
export async function relayOf(site: Site, plan: PairPlan): Promise<Relay | undefined> {
  if (!plan.relayed) return undefined;
  const relay = await startRelay();
  site.processes.use(relay);
  return relay;
}

/** Resolves to the peer once the application answers through it. Rejects with BenchError. */
export async function readyPeer(name: PeerName, target: Target, pair: Pair | undefined, site: Site, plan: PairPlan): Promise<Peer> {
  const peer: Peer = { name, target, pair };
  const wait = plan.protocol === "grpc" ? waitForCall : waitForPage;
  await wait(name, target, proxiesOf(peer), site.signal);
  return peer;
}
