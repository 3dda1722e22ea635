/** nginx: a pair with HTTP/1.1 over mTLS between them, or, for gRPC, HTTP/2. */
import { freePorts } from "../ports.ts";
import type { Site } from "../site.ts";
import { applicationPort, readyPeer, relayOf, type PairPlan, type Peer } from "./peer.ts";
import { startNginx } from "./start-nginx.ts";

function upstream(name: string, port: number): string {
  return `  upstream ${name} {
    server 127.0.0.1:${port};
    keepalive 1024;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
  }
`;
}

/** Bodies are streamed, as the others do, and nothing is spooled to a file. */
const streaming = `proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_buffers 16 16k;
      proxy_max_temp_file_size 0;`;

export async function startNginxPair(site: Site, plan: PairPlan): Promise<Peer> {
  const [callerPort = 0, receiverPort = 0] = await freePorts(2);
  const relay = await relayOf(site, plan);
  relay?.aim(receiverPort);
  const { authority, caller: leaf, receiver: peerLeaf } = site.certificates;
  const grpc = plan.protocol === "grpc";
  const http2 = grpc ? " http2" : "";
  const module = grpc ? "grpc" : "proxy";
  const more = grpc ? "" : streaming;
  const receiver = await startNginx(
    site,
    "nginx-receiver",
    `${upstream("app", applicationPort(site, plan))}  server {
    listen 127.0.0.1:${receiverPort} ssl${http2} backlog=1024;
    ssl_protocols TLSv1.3;
    ssl_certificate ${peerLeaf.certificate};
    ssl_certificate_key ${peerLeaf.key};
    ssl_client_certificate ${authority};
    ssl_verify_client on;
    location / {
      ${module}_pass ${grpc ? "grpc" : "http"}://app;
      ${more}
    }
  }
`,
  );
  // A resumed session would be no new handshake.
  const caller = await startNginx(
    site,
    "nginx-caller",
    `${upstream("receiver", relay?.port ?? receiverPort)}  server {
    listen 127.0.0.1:${callerPort}${http2} backlog=1024;
    location / {
      ${module}_pass ${grpc ? "grpcs" : "https"}://receiver;
      ${more}
      ${module}_ssl_protocols TLSv1.3;
      ${module}_ssl_session_reuse off;
      ${module}_ssl_certificate ${leaf.certificate};
      ${module}_ssl_certificate_key ${leaf.key};
      ${module}_ssl_trusted_certificate ${authority};
      ${module}_ssl_verify on;
      ${module}_ssl_name ${peerLeaf.name};
      ${module}_ssl_server_name on;
    }
  }
`,
  );
  const target = { origin: `http://127.0.0.1:${callerPort}`, host: undefined };
  return await readyPeer("nginx", target, { caller, receiver, relay }, site, plan);
}
