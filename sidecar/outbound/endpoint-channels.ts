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
      entry = { endpoint, channels: [], opening: undefined, connectTimeoutMs, gone: false };
      entries.set(endpoint, entry);
    }
    entry.connectTimeoutMs = connectTimeoutMs;
    return entry;
  }

  async function openFor(entry: Entry): Promise<Channel> {
    try {
      const channel = await openChannel(entry.endpoint, options, entry.connectTimeoutMs, (closed) => {
        entry.channels = entry.channels.filter((each) => each !== closed);
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

  /** What it has may go on as long as it would have: the peer ends it with the certificate that it was made with. */
  function drain(channel: Channel): void {
    channel.drain(Math.max(drainMs, channel.peerExpiresAt - clock.now()));
  }

  function isStale({ secureContext }: Channel): boolean {
    return secureContext !== options.secureContext();
  }

  /**
   * A channel made with the certificate that is held now takes the place of the others. Until there is one they serve on; but
   * their peers end them with the certificate that they were made with, so there is no giving up.
   */
  function renew(entry: Entry): void {
    if (entry.gone || !entry.channels.some(isStale)) return;
    entry.opening ??= openFor(entry);
    entry.opening.then(
      () => {
        const stale = entry.channels.filter(isStale);
        if (stale.length < entry.channels.length) {
          entry.channels = entry.channels.filter((channel) => !isStale(channel));
          for (const channel of stale) drain(channel);
        } else renew(entry);
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
        for (const channel of entry.channels) {
          if (refused(channel)) channel.destroy();
          else if (gone && !entry.gone) drain(channel);
        }
        entry.gone = gone;
        // What is still open is looked at again with the next snapshot.
        if (gone && entry.channels.length === 0) entries.delete(endpoint);
      }
    },
    destroyAll() {
      for (const entry of entries.values()) for (const channel of entry.channels) channel.destroy();
    },
  };
}
