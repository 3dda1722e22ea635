/** HAProxy: a pair with HTTP/1.1 or HTTP/2 over mTLS between them. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Running } from "../processes.ts";
import { freePorts, waitForAnswer, type Peer, type Site } from "./peer.ts";

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

export async function startHaproxyPair(site: Site, protocol: "h1" | "h2"): Promise<Peer> {
  const name = `haproxy-${protocol}` as const;
  const alpn = protocol === "h2" ? "h2" : "http/1.1";
  const [callerPort = 0, receiverPort = 0] = await freePorts(2);
  const { authority, caller, receiver } = site.certificates;
  const proxies = [
    await startHaproxy(
      site,
      `${name}-receiver`,
      `frontend mesh
  bind 127.0.0.1:${receiverPort} ssl ssl-min-ver TLSv1.3 crt ${receiver.combined} ca-file ${authority} verify required alpn ${alpn}
  default_backend app
backend app
  server app 127.0.0.1:${site.appPort}
`,
    ),
    await startHaproxy(
      site,
      `${name}-caller`,
      `frontend local
  bind 127.0.0.1:${callerPort}
  default_backend mesh
backend mesh
  server receiver 127.0.0.1:${receiverPort} ssl ssl-min-ver TLSv1.3 crt ${caller.combined} ca-file ${authority} verify required verifyhost ${receiver.name} sni str(${receiver.name}) alpn ${alpn}
`,
    ),
  ];
  const target = { url: `http://127.0.0.1:${callerPort}/`, host: undefined };
  await waitForAnswer(name, target, proxies, site.signal);
  return { name, target, proxies };
}
