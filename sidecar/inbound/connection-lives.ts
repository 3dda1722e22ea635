/**
 * How long connections from the mesh last. One proves its peer no longer than the certificate that it began with; but what it
 * carries may be a tunnel of days. So a peer that has renewed its certificate says on a new connection which older ones are
 * its own, and those last as long as the new certificate does.
 *
 * Guarantees: a connection is prolonged only by one of the same identity, and only by who is at its far end: no one else has its
 * channel binding (RFC 9266). Whoever holds no key but an expired one prolongs nothing.
 */
import type { TLSSocket } from "node:tls";
import type { CancelTimer, Clock } from "../../common/runtime/clock.ts";
import type { LeafCertificate } from "../../common/x509/svid-profile.ts";
import { channelBinding } from "../tls/channel-binding.ts";

export interface ConnectionLives {
  /** Ends `socket` with its peer's certificate. Returns what is to be told which older connection the peer wants to go on. */
  begin(socket: TLSSocket, leaf: LeafCertificate): (binding: Buffer) => void;
}

interface Life {
  readonly socket: TLSSocket;
  readonly spiffeId: string;
  /** Seconds since 1970. */
  notAfter: number;
  cancel: CancelTimer;
}

const maxTimerMs = 2 ** 31 - 1;

export function createConnectionLives(clock: Clock): ConnectionLives {
  const lives = new Map<string, Life>();

  function arm(life: Life): void {
    life.cancel();
    const left = Math.min(maxTimerMs, Math.max(0, life.notAfter * 1000 - clock.now()));
    life.cancel = clock.schedule(left, () => life.socket.destroy());
  }

  return {
    begin(socket, leaf) {
      const name = channelBinding(socket).toString("base64");
      const own: Life = { socket, spiffeId: leaf.spiffeId, notAfter: leaf.notAfter, cancel: () => undefined };
      lives.set(name, own);
      arm(own);
      socket.once("close", () => {
        own.cancel();
        lives.delete(name);
      });
      return (binding) => {
        const older = lives.get(binding.toString("base64"));
        if (older?.spiffeId !== own.spiffeId || older.notAfter >= own.notAfter) return;
        older.notAfter = own.notAfter;
        arm(older);
      };
    },
  };
}
