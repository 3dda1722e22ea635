/** Real TLS connections whose peers' certificates end by a clock that is moved. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { fromString } from "../../../common/spiffe/id.ts";
import type { LeafCertificate } from "../../../common/x509/svid-profile.ts";
import { createConnectionLives, type ConnectionLives } from "../../../sidecar/inbound/connection-lives.ts";
import { channelBinding } from "../../../sidecar/tls/channel-binding.ts";
import { createFakeClock, type FakeClock } from "../../fakes/clock.ts";
import { makeCertificate } from "../../mesh/certificate.ts";

const hour = 3600;
let server: Server;
let clock: FakeClock;
let lives: ConnectionLives;

beforeAll(async () => {
  const { "key.pem": key, "cert.pem": cert } = makeCertificate("receiver");
  server = createServer({ key, cert, minVersion: "TLSv1.3" });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => void server.close());
beforeEach(() => {
  clock = createFakeClock();
  lives = createConnectionLives(clock);
});

interface Connection {
  /** As the client has it. */
  readonly binding: Buffer;
  readonly renewed: (binding: Buffer) => void;
  readonly isOpen: () => boolean;
}

/** A connection of a peer whose certificate is good for that many seconds. */
async function open(name: string, seconds: number): Promise<Connection> {
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "secureConnection") as Promise<[TLSSocket]>;
  const client = connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(client, "secureConnect");
  const [socket] = await accepted;
  client.on("error", () => undefined);
  const now = Math.floor(clock.now() / 1000);
  const spiffeId = fromString(`spiffe://test.example/ns/shop/sa/${name}`);
  const leaf = { spiffeId, notBefore: now - 60, notAfter: now + seconds } as LeafCertificate;
  const renewed = lives.begin(socket, leaf);
  return { binding: channelBinding(client), renewed, isOpen: () => !socket.destroyed };
}

const pass = (seconds: number) => clock.advance(seconds * 1000);

test("a connection ends with the certificate that it began with", async () => {
  const connection = await open("caller", hour);
  pass(hour - 1);
  expect(connection.isOpen()).toBe(true);
  pass(1);
  expect(connection.isOpen()).toBe(false);
  await new Promise(setImmediate);
  expect(clock.pendingTimers()).toBe(0);
});

test("one that its peer vouches for on a newer one lasts as long as that, again and again", async () => {
  const first = await open("caller", hour);
  for (let renewals = 0; renewals < 3; renewals++) {
    pass(hour / 2);
    const next = await open("caller", hour);
    next.renewed(first.binding);
    expect(next.isOpen()).toBe(true);
  }
  pass(hour - 1);
  expect(first.isOpen()).toBe(true);
  pass(1);
  expect(first.isOpen()).toBe(false);
});

test("nobody else prolongs it, and nothing that ends sooner", async () => {
  const victim = await open("caller", hour);
  const stranger = await open("stranger", 2 * hour);
  stranger.renewed(victim.binding);
  const older = await open("caller", hour / 2);
  older.renewed(victim.binding);
  stranger.renewed(Buffer.alloc(32));
  stranger.renewed(stranger.binding);
  pass(hour);
  expect([victim, older, stranger].map(({ isOpen }) => isOpen())).toEqual([false, false, true]);
});
