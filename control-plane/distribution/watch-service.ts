/**
 * MeshService.Watch: keeps one sidecar up to date for as long as its stream is open. States of a stream: it waits for
 * `hello` (a few seconds), then watches; it ends when the sidecar ends it, when its connection breaks, or when its identity
 * may no longer be served.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { ConnectedSidecar } from "../../common/gen/mesh/v1/admin.ts";
import type { Ack, Hello, MeshServiceServer, WatchRequest, WatchResponse } from "../../common/gen/mesh/v1/mesh.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import { addressFromString } from "../../common/runtime/environment.ts";
import { instanceForm } from "../registry/endpoint.ts";
import type { Registration, Registry } from "../registry/registry.ts";
import type { MeshView } from "../resources/mesh-view.ts";
import { checkNotRevoked, requirePeer } from "../server/peer.ts";
import type { Peer, PeerRegister } from "../server/peer.ts";
import { RequestError } from "../server/request-error.ts";
import { reportRefusal } from "../server/unary.ts";
import type { CallReport } from "../server/unary.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { Distributor, Subscription } from "./distributor.ts";
import type { Member } from "./snapshot.ts";

const helloMilliseconds = 10_000;

type WatchCall = ServerDuplexStream<WatchRequest, WatchResponse>;

interface WatchingSidecar extends ConnectedSidecar, Member {
  readonly spiffeId: SpiffeId;
}

export interface WatchService {
  readonly implementation: MeshServiceServer;
  readonly connected: () => readonly ConnectedSidecar[];
  /** How many sidecars are connected, and how many have acknowledged all that concerns them in the present state. */
  readonly holders: () => { readonly connected: number; readonly holding: number };
  /** Ends every stream, so that sidecars look for a control plane that stays. */
  readonly close: () => void;
}

export function createWatchService(options: {
  readonly view: MeshView;
  readonly peers: PeerRegister;
  readonly registry: Registry;
  readonly distributor: Distributor;
  readonly clock: Clock;
  readonly report: CallReport;
}): WatchService {
  const { view, peers, registry, distributor, clock, report } = options;
  const streams = new Map<WatchCall, { readonly sidecar: WatchingSidecar | undefined; readonly finish: (error: unknown) => void }>();

  function watch(call: WatchCall): void {
    let sidecar: WatchingSidecar | undefined;
    let subscription: Subscription | undefined;
    let registration: Promise<Registration> | undefined;
    let finished = false;
    const cleanups: (() => void)[] = [];

    const close = (how: "ended" | "lost"): void => {
      if (finished) return;
      finished = true;
      streams.delete(call);
      if (sidecar !== undefined) report.metrics.connectedSidecars.dec();
      for (const cleanup of cleanups) cleanup();
      subscription?.close();
      registration?.then((joined) => joined.leave(how)).catch(() => undefined);
    };
    const finish = (error: unknown): void => {
      if (finished) return;
      close("ended");
      call.emit("error", reportRefusal("Watch", report, call.getPeer(), error));
    };

    const start = async (peer: Peer, hello: Hello): Promise<void> => {
      const { instance, inboundAddress, version } = checkedHello(hello);
      const { spiffeId } = peer.leaf;
      sidecar = { spiffeId, instance, inboundAddress, acknowledgedRevision: 0, address: peer.address };
      streams.set(call, { sidecar, finish });
      report.metrics.connectedSidecars.inc();
      report.logger.info({ spiffeId, instance, inboundAddress, version, peer: peer.address }, "sidecar connected");
      cleanups.push(
        view.subscribe((state) => {
          try {
            checkNotRevoked(peer.leaf, state);
          } catch (error) {
            finish(error);
          }
        }),
      );
      if (inboundAddress !== "") {
        registration = registry.join({ spiffeId, instance, address: inboundAddress });
        await registration;
      }
      // The stream may have ended meanwhile; its registration is then taken off by `close`.
      if (finished) return;
      subscription = distributor.subscribe({
        spiffeId,
        address: peer.address,
        send(snapshot) {
          // One at a time: the next is made when this one is on its way, from what is true then.
          call.write({ snapshot }, () => subscription?.ready());
        },
      });
    };

    const acknowledge = ({ revision, error }: Ack): void => {
      if (sidecar === undefined) return;
      if (error === "") sidecar.acknowledgedRevision = revision;
      else
        report.logger.error(
          { spiffeId: sidecar.spiffeId, instance: sidecar.instance, revision, reason: error.slice(0, 500) },
          "snapshot refused",
        );
    };

    const receive = ({ message }: WatchRequest): void => {
      if (message?.$case === "hello" && sidecar === undefined) {
        cancelHello();
        start(requirePeer(peers, call, view.current()), message.value).catch(finish);
      } else if (message?.$case === "ack" && sidecar !== undefined) {
        acknowledge(message.value);
      } else {
        throw new RequestError("invalid-argument", "unexpected-message", "the first message is hello, and every later one an ack");
      }
    };

    const cancelHello = clock.schedule(helloMilliseconds, () => {
      finish(new RequestError("too-slow", "no-hello", "no hello came in time"));
    });
    cleanups.push(cancelHello);
    streams.set(call, { sidecar, finish });
    call.on("data", (request: WatchRequest) => {
      if (finished) return;
      try {
        receive(request);
      } catch (error) {
        finish(error);
      }
    });
    call.on("end", () => {
      // A stream that was reset ends too, and is known to be cancelled only some ticks later.
      setImmediate(() => {
        if (call.cancelled) return;
        close("ended");
        call.end();
      });
    });
    call.on("cancelled", () => {
      close("lost");
    });
    call.on("error", () => {
      close("lost");
    });
  }

  return {
    implementation: { watch },
    connected: () =>
      [...streams.values()].flatMap(({ sidecar }) => {
        if (sidecar === undefined) return [];
        const { spiffeId, instance, inboundAddress, acknowledgedRevision } = sidecar;
        return [{ spiffeId, instance, inboundAddress, acknowledgedRevision }];
      }),
    holders() {
      const sidecars = [...streams.values()].flatMap(({ sidecar }) => sidecar ?? []);
      const holding = sidecars.filter((sidecar) => sidecar.acknowledgedRevision >= distributor.settledRevision(sidecar));
      return { connected: sidecars.length, holding: holding.length };
    },
    close() {
      for (const { finish } of streams.values())
        finish(new RequestError("unavailable", "shutting-down", "the control plane is shutting down"));
    },
  };
}

function checkedHello(hello: Hello): Hello {
  if (!instanceForm.test(hello.instance)) {
    throw new RequestError("invalid-argument", "bad-instance", "an instance is 8 to 64 of A-Z a-z 0-9 _ and -");
  }
  if (hello.version.length > 64) throw new RequestError("invalid-argument", "bad-version", "a version has at most 64 characters");
  if (hello.inboundAddress === "") return hello;
  const address = addressFromString(hello.inboundAddress);
  if (hello.inboundAddress.length > 262 || address === undefined || address.port === 0 || ["0.0.0.0", "::"].includes(address.host)) {
    throw new RequestError("invalid-argument", "bad-address", "the inbound address is host:port as peers reach it");
  }
  return hello;
}
