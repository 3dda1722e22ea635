/** What a capture of a mesh's wire may hold: TLS 1.3 between its parts, and not a word of what they say. */
import { expect } from "vitest";
import type { Captured, TcpStream } from "./capture.ts";
import { ContentType, Extension, recordsOf, serverHelloExtensions, tls13, x25519MlKem768 } from "./tls-records.ts";
import type { Host } from "./namespaces.ts";
import type { TransparentMesh } from "./transparent-mesh.ts";

const inboundPort = 15_006;
/** What programs and sidecars of these tests say again and again; programs have `in-clear` in every body. */
const secrets = ["in-clear", "HTTP/1.1", "HTTP/2.0", "AWS4-HMAC", "x-amz-", "spiffe://", "countersign"];

/**
 * Ends the capture. Whatever it saw is TLS 1.3, but for the streams that `plaintext` admits; no secret is in any frame of the rest.
 * Returns how many bytes went to and from inbound ports.
 */
export async function expectTlsOnly(mesh: TransparentMesh, plaintext: (stream: TcpStream) => boolean = () => false): Promise<number> {
  const { streams, older, frames, dropped } = await mesh.capture.end();
  expect(dropped).toBe(0);
  // Sidecars were connected to the control plane before there was a capture; to each other, nobody was.
  for (const [from, to] of older) expect([from.address, to.address]).toContain(mesh.controlPlane);
  const closed = streams.filter((stream) => stream.bytes.length > 0 && !plaintext(stream));
  for (const stream of closed) expectTls(stream);
  const between = closed.filter(({ from, to }) => from.port === inboundPort || to.port === inboundPort);
  expectNoSecrets(closed, frames, streams.filter(plaintext).length === 0);
  return between.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Whether a stream is one of that host's. */
export function isOf({ v4, v6 }: Host): (stream: Pick<TcpStream, "from" | "to">) => boolean {
  return ({ from, to }) => [from.address, to.address].some((address) => address === v4 || address === v6);
}

function expectNoSecrets(closed: readonly TcpStream[], frames: Captured["frames"], allFrames: boolean): void {
  const texts = [...closed.map(({ bytes }) => bytes), ...(allFrames ? frames : [])].map((bytes) => bytes.toString("latin1"));
  for (const secret of secrets) expect(texts.filter((text) => text.includes(secret))).toEqual([]);
}

function expectTls({ from, to, opener, bytes }: TcpStream): void {
  const [hello, ...rest] = recordsOf(bytes);
  const types = rest.map(({ type }) => type);
  const [first] = rest;
  const where = `${from.address} ${from.port} to ${to.address} ${to.port}`;
  expect([where, hello?.type]).toEqual([where, ContentType.handshake]);
  expect([where, types.filter((type) => type !== ContentType.applicationData && type !== ContentType.changeCipherSpec)]).toEqual([
    where,
    [],
  ]);
  if (opener || !hello) return;
  const extensions = serverHelloExtensions(hello.fragment);
  expect(extensions.get(Extension.supportedVersions)?.toString("hex")).toBe(tls13);
  if (from.port === inboundPort) expect(extensions.get(Extension.keyShare)?.readUInt16BE(0)).toBe(x25519MlKem768.group);
  expect(first?.type).toBe(ContentType.changeCipherSpec);
}
