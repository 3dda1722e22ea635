/**
 * The channels to every endpoint: opened when first needed, one at a time, another one when those that there are have no room
 * for a stream, new ones before the certificate they were made with is replaced.
 */
import type { Clock } from "../../common/runtime/clock.ts";
import { ChannelError, openChannel, type Channel, type ChannelOptions } from "./channel.ts";
import type { Endpoint } from "./destinations.ts";

export interface EndpointChannels {
  /** A channel with room for a stream; undefined when one has to be waited for with `open`. Hot path. */
  current(endpoint: Endpoint): Channel | undefined;
  /** Rejects with ChannelError, the same one for all that wait. Single flight an endpoint; the time-out is that of whoever came first. */
  open(endpoint: Endpoint, connectTimeoutMs: number): Promise<Channel>;
  /** The own certificate has been replaced: channels are made anew, the old ones drained. */
  renewAll(): void;
  /** Drains and forgets the channels to endpoints that are not in `alive`, or whose peer `refused` says must go at once. */
  retain(alive: ReadonlyMap<string, Endpoint>, refused: (channel: Channel) => boolean): void;
  destroyAll(): void;
}

/** With our own receivers' 256 streams each, more than the calls that a service may have under way by default. */
const maxChannels = 8;
const failingForMs = 1000;
/** How long a connection to an endpoint that is gone may finish what it has. */
const drainMs = 60_000;

interface Entry {
  readonly endpoint: Endpoint;
  channels: Channel[];
  /** They carry what they have, and nothing new. */
  readonly draining: Set<Channel>;
  opening: Promise<Channel> | undefined;
  connectTimeoutMs: number;
  /** The last snapshot does not name it: what is open goes on, and nothing new is begun. */
  gone: boolean;
}

/** `monotonic`: ms of a clock that never goes back, the one that endpoints are chosen by. */
export function createEndpointChannels(options: ChannelOptions, clock: Clock, monotonic: () => number): EndpointChannels {
  const entries = new Map<Endpoint, Entry>();

  function entryOf(endpoint: Endpoint, connectTimeoutMs: number): Entry {
    let entry = entries.get(endpoint);
    if (!entry) {
      entry = { endpoint, channels: [], draining: new Set(), opening: undefined, connectTimeoutMs, gone: false };
      entries.set(endpoint, entry);
    }
    entry.connectTimeoutMs = connectTimeoutMs;
    return entry;
  }

  async function openFor(entry: Entry): Promise<Channel> {
    try {
      const channel = await openChannel(entry.endpoint, options, entry.connectTimeoutMs, (closed) => {
        entry.channels = entry.channels.filter((each) => each !== closed);
        entry.draining.delete(closed);
      });
      entry.channels = [...entry.channels, channel];
      entry.endpoint.failingUntil = 0;
      return channel;
    } catch (error) {
      entry.endpoint.failingUntil = monotonic() + failingForMs;
      throw error instanceof ChannelError ? error : new ChannelError("peer-unreachable", String(error), { cause: error });
    } finally {
      entry.opening = undefined;
    }
  }

  /** What it has may go on until the peer's certificate ends, which is `channel`'s own or that of the one that renewed it. */
  function drain(channel: Channel, expiresAt = channel.peerExpiresAt): void {
    channel.drain(Math.max(drainMs, expiresAt - clock.now()));
  }

  function isStale({ secureContext }: Channel): boolean {
    return secureContext !== options.secureContext();
  }

  /**
   * A channel made with the certificate that is held now takes the place of the others, and vouches for what those still carry:
   * long streams and tunnels outlive the certificate that they began with, as long as both sides renew theirs. Until there is
   * one the others serve on; but their peers end them with their certificate, so there is no giving up.
   */
  function renew(entry: Entry): void {
    if (entry.gone || !(entry.draining.size > 0 || entry.channels.some(isStale))) return;
    entry.opening ??= openFor(entry);
    entry.opening.then(
      () => {
        const fresh = entry.channels.find((channel) => !isStale(channel));
        if (!fresh) {
          renew(entry);
          return;
        }
        for (const channel of entry.channels.filter(isStale)) entry.draining.add(channel);
        entry.channels = entry.channels.filter((channel) => !isStale(channel));
        for (const channel of entry.draining) {
          fresh.http2.renew(channel.binding);
          drain(channel, fresh.peerExpiresAt);
        }
      },
      () => void clock.schedule(failingForMs, () => renew(entry)),
    );
  }

  return {
    current(endpoint) {
      const entry = entries.get(endpoint);
      if (!entry) return undefined;
      for (const channel of entry.channels) {
        if (channel.http2.canRequest() && channel.peerExpiresAt > clock.now()) return channel;
      }
      return undefined;
    },
    open(endpoint, connectTimeoutMs) {
      const entry = entryOf(endpoint, connectTimeoutMs);
      if (entry.opening) return entry.opening;
      const usable = entry.channels.filter((channel) => channel.peerExpiresAt > clock.now() && !channel.http2.isDraining());
      if (usable.length >= maxChannels) {
        return Promise.reject(new ChannelError("overloaded", `${maxChannels} connections to ${endpoint.spiffeId} are full`));
      }
      entry.opening = openFor(entry);
      return entry.opening;
    },
    renewAll() {
      for (const entry of entries.values()) renew(entry);
    },
    retain(alive, refused) {
      for (const [endpoint, entry] of entries) {
        const gone = alive.get(endpoint.instance) !== endpoint;
        for (const channel of [...entry.channels, ...entry.draining]) {
          if (refused(channel)) channel.destroy();
          else if (gone && !entry.gone && !entry.draining.has(channel)) drain(channel);
        }
        entry.gone = gone;
        // What is still open is looked at again with the next snapshot.
        if (gone && entry.channels.length === 0 && entry.draining.size === 0) entries.delete(endpoint);
      }
    },
    destroyAll() {
      for (const { channels, draining } of entries.values()) for (const channel of [...channels, ...draining]) channel.destroy();
    },
  };
}
