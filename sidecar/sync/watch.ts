/**
 * The stream of snapshots. Whole snapshots replace each other; an older revision than the one held is refused with an
 * alarm (a rolled-back control plane must not roll back policy). While the stream is down the last snapshot rules.
 */
import type { Logger } from "pino";
import { createBackoff } from "../../common/runtime/backoff.ts";
import type { Clock } from "../../common/runtime/clock.ts";
import type { Hello, Snapshot, WatchRequest, WatchResponse } from "../../common/gen/mesh/v1/mesh.ts";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { ControlPlane } from "./control-plane.ts";

export interface WatchOptions {
  /** The channel in use: after a renewal of the certificate it is another. */
  readonly controlPlane: () => ControlPlane;
  readonly hello: Hello;
  /** Applies a snapshot; throwing refuses it, and what was held stays. */
  readonly apply: (snapshot: Snapshot) => void;
  /** Called when that changes, and with the first failure. */
  readonly onConnected: (connected: boolean) => void;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Logger;
}

export interface Watch {
  /** Runs until `signal`. */
  run(signal: AbortSignal): Promise<void>;
  /** Moves to the channel that `controlPlane()` gives now: the new stream opens before the old one ends. */
  reconnect(): void;
}

/** How long the end of a stream is waited for. */
const farewellMs = 1000;

export function createWatch(options: WatchOptions): Watch {
  const { log } = options;
  let held = 0;
  let current: ClientDuplexStream<WatchRequest, WatchResponse> | undefined;
  let replace: (() => void) | undefined;
  let connected: boolean | undefined;

  /** Whether that is news. */
  function report(now: boolean): boolean {
    if (now === connected) return false;
    connected = now;
    options.onConnected(now);
    return true;
  }

  function receive(stream: ClientDuplexStream<WatchRequest, WatchResponse>, snapshot: Snapshot): void {
    const acknowledge = (error: string) => stream.write({ message: { $case: "ack", value: { revision: snapshot.revision, error } } });
    if (snapshot.revision < held) {
      log.error({ held, offered: snapshot.revision }, "a snapshot older than the one held was refused");
      acknowledge(`older than revision ${held}`);
      return;
    }
    try {
      options.apply(snapshot);
      held = snapshot.revision;
      acknowledge("");
    } catch (error) {
      log.error({ err: error, revision: snapshot.revision }, "a snapshot could not be applied; the one held stays");
      acknowledge(error instanceof Error ? error.message : String(error));
    }
  }

  /** Opens a stream; resolves when it ends for whatever reason but being replaced. */
  function follow(signal: AbortSignal): Promise<{ received: boolean; error: unknown }> {
    return new Promise((resolve) => {
      let received = false;
      const open = () => {
        const stream = options.controlPlane().mesh.watch();
        let previous = current;
        current = stream;
        /** Only when the new stream works, or is given up: a sidecar whose last stream has ended is no endpoint any more. */
        const endPrevious = () => {
          previous?.end();
          previous = undefined;
        };
        stream.on("data", (response: WatchResponse) => {
          if (stream !== current || !response.snapshot) return;
          endPrevious();
          report(true);
          received = true;
          receive(stream, response.snapshot);
        });
        const ended = (error: unknown) => {
          endPrevious();
          if (stream === current) {
            current = undefined;
            replace = undefined;
            signal.removeEventListener("abort", abort);
            resolve({ received, error });
          }
        };
        stream.on("error", ended);
        stream.on("end", () => ended(undefined));
        stream.write({ message: { $case: "hello", value: options.hello } });
      };
      const abort = () => {
        const stream = current;
        stream?.end();
        // A control plane that does not answer finds out by itself.
        setTimeout(() => stream?.cancel(), farewellMs).unref();
      };
      replace = open;
      signal.addEventListener("abort", abort, { once: true });
      open();
    });
  }

  return {
    async run(signal) {
      const backoff = createBackoff({ baseMilliseconds: 100, maximumMilliseconds: 5000, clock: options.clock, random: options.random });
      while (!signal.aborted) {
        const { received, error } = await follow(signal);
        const news = report(false);
        if (signal.aborted) return;
        if (received) backoff.reset();
        log[news ? "warn" : "debug"]({ err: error }, "the control plane's stream ended; the last snapshot stays in force");
        await backoff.wait(signal);
      }
    },
    reconnect() {
      replace?.();
    },
  };
}
