/**
 * A stand-in for what listens in a workload's namespace. Each argument is a server, `name=port`, `name=port:mode:listener` or
 * `name=fd:mode:listener` (the file descriptor from COUNTERSIGN_INBOUND); each connection is told as JSON who answered, where
 * it was going by the sidecar's own reckoning, and whom it came from.
 */
import { createServer } from "node:net";
import { addressToString, listenTarget } from "../../../common/runtime/environment.ts";
import { listen } from "../../../common/runtime/listen.ts";
import { createOriginalDestination, type InterceptMode } from "../../../sidecar/intercept/original-destination.ts";

/** What a client reads. */
export interface Answer {
  readonly name: string;
  readonly original?: string;
  readonly from: string;
}

for (const argument of process.argv.slice(2)) {
  const [name = "", rest = ""] = argument.split("=");
  const [place = "", mode = "off", listener = "inbound"] = rest.split(":");
  const server = createServer((socket) => {
    const original = originalDestination(socket);
    const answer: Answer = {
      name,
      ...(original === undefined ? {} : { original: addressToString(original) }),
      from: (socket.remoteAddress ?? "").replace(/^::ffff:/, ""),
    };
    socket.on("error", () => undefined);
    socket.end(`${JSON.stringify(answer)}\n`);
  });
  const originalDestination = createOriginalDestination(mode as InterceptMode, listener as "outbound" | "inbound", server);
  const target = place === "fd" ? listenTarget("").read(process.env["COUNTERSIGN_INBOUND"]) : { host: "::", port: Number(place) };
  await listen(server, target, name);
}
process.stdout.write(`ready as ${process.getuid?.()}\n`);
