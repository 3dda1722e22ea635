/** HAProxy: a pair with HTTP/1.1 or HTTP/2 over mTLS between them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { freePorts } from "../ports.ts";
import type { Running } from "../processes.ts";
import type { Site } from "../site.ts";
import { applicationPort, readyPeer, relayOf, type PairPlan, type Peer } from "./peer.ts";

/** One thread, no log, idle connections kept. */
async function startHaproxy(site: Site, name: string, sections: string): Promise<Running> {
  const file = join(site.folder, `${name}.cfg`);
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  maxconn 4096
  backlog 1024
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
  http-reuse always
${sections}`,
  );
  return site.processes.start(name, "haproxy", ["-db", "-f", file]);
}

export async function startHaproxyPair(site: Site, plan: PairPlan, between: "h1" | "h2"): Promise<Peer> {
  const name = `haproxy-${between}` as const;
  const alpn = between === "h2" ? "h2" : "http/1.1";
  const application = plan.protocol === "grpc" ? " proto h2" : "";
  const [callerPort = 0, receiverPort = 0] = await freePorts(2);
  const relay = await relayOf(site, plan);
  relay?.aim(receiverPort);
  const { authority, caller: leaf, receiver: peerLeaf } = site.certificates;
  const receiver = await startHaproxy(
    site,
    `${name}-receiver`,
    `frontend mesh
  bind 127.0.0.1:${receiverPort} ssl ssl-min-ver TLSv1.3 crt ${peerLeaf.combined} ca-file ${authority} verify required alpn ${alpn}
  default_backend app
backend app
  server app 127.0.0.1:${applicationPort(site, plan)}${application}
`,
  );
  // A resumed session would be no new handshake.
  const verified = `ca-file ${authority} verify required verifyhost ${peerLeaf.name} sni str(${peerLeaf.name}) no-ssl-reuse`;
  const caller = await startHaproxy(
    site,
    `${name}-caller`,
    `frontend local
  bind 127.0.0.1:${callerPort}${application}
  default_backend mesh
backend mesh
  server receiver 127.0.0.1:${relay?.port ?? receiverPort} ssl ssl-min-ver TLSv1.3 crt ${leaf.combined} ${verified} alpn ${alpn}
`,
  );
  const target = { origin: `http://127.0.0.1:${callerPort}`, host: undefined };
  return await readyPeer(name, target, { caller, receiver, relay }, site, plan);
}
