/** The extension frame by which one connection vouches for another. */
import { expect, it } from "vitest";
import { clientPreface, FrameType } from "../../../sidecar/http2/frames.ts";
import { hear } from "./heard.ts";
import { askNodeServer } from "./node-peer.ts";
import { block, connectionError, frame, get, headers, openClient, openServer, ping, settings, settingsAck } from "./wire.ts";

const binding = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

it("brings the binding to whoever wants to know", () => {
  const client = openClient();
  client.connection.renew(binding);
  const [sent] = client.output();
  expect(sent).toMatchObject({ type: FrameType.RENEWAL, flags: 0, id: 0, payload: binding });

  const heard: Buffer[] = [];
  const server = openServer({}, { onRenewal: (bytes) => void heard.push(Buffer.from(bytes)) });
  const bytes = frame(FrameType.RENEWAL, 0, 0, binding);
  // However it is cut.
  for (const byte of bytes) server.send(Buffer.from([byte]));
  expect(heard).toEqual([binding]);
});

it("means nothing with another length or on a stream, or where nobody asks for it", () => {
  const heard: Buffer[] = [];
  const server = openServer({}, { onRenewal: (bytes) => void heard.push(Buffer.from(bytes)) });
  server.send(
    frame(FrameType.RENEWAL, 0, 0, binding.subarray(1)),
    frame(FrameType.RENEWAL, 0, 0, Buffer.concat([binding, binding])),
    frame(FrameType.RENEWAL, 0, 1, binding),
    frame(FrameType.RENEWAL, 0, 0, Buffer.alloc(0)),
  );
  expect(heard).toEqual([]);
  expect(openServer().send(frame(FrameType.RENEWAL, 0, 0, binding), ping())).toHaveLength(1);
});

it("is counted with the frames that mean nothing", () => {
  const server = openServer({ ignoredFrames: 10 });
  const one = frame(FrameType.RENEWAL, 0, 0, binding);
  server.send(...Array.from({ length: 10 }, () => one));
  expect(connectionError(server, server.send(one))).toBe("ENHANCE_YOUR_CALM");
});

it("is passed over by others", async () => {
  const parts = [
    Buffer.concat([clientPreface, settings(), settingsAck]),
    frame(FrameType.RENEWAL, 0, 0, binding),
    headers(1, block(...get)),
  ];
  const theirs = await askNodeServer(parts);
  expect(theirs.survived).toBe(parts.length);
  expect([...theirs.streams.keys()]).toEqual([...hear("server", Buffer.concat(parts), []).streams.keys()]);
});
