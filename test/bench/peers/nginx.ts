/** nginx: the application, and the pair with HTTP/1.1 over mTLS between them. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Running } from "../processes.ts";
import { appBody, freePorts, waitForAnswer, type Peer, type Site } from "./peer.ts";

/** One worker, no access log, connections that are never closed for their age or their count of requests. */
async function startNginx(site: Site, name: string, http: string): Promise<Running> {
  const folder = join(site.folder, name);
  await mkdir(folder);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `  ${kind}_temp_path ${folder}/${kind};\n`);
  // Started by root, the worker would become a user to whom the folder is closed.
  const user = process.getuid?.() === 0 ? "user root;\n" : "";
  const configuration = `${user}daemon off;
worker_processes 1;
pid ${folder}/pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
${temporary.join("")}${http}}
`;
  const file = join(folder, "nginx.conf");
  await writeFile(file, configuration);
  return site.processes.start(name, "nginx", ["-e", "stderr", "-p", folder, "-c", file]);
}

/** The application that every peer stands in front of. Resolves once it answers. */
export async function startApp(site: Site): Promise<void> {
  const target = { url: `http://127.0.0.1:${site.appPort}/`, host: undefined };
  const app = await startNginx(
    site,
    "app",
    `  default_type text/plain;
  server {
    listen 127.0.0.1:${site.appPort} backlog=1024;
    location / { return 200 "${appBody}"; }
  }
`,
  );
  await waitForAnswer("app", target, [app], site.signal);
}

function upstream(name: string, port: number): string {
  return `  upstream ${name} {
    server 127.0.0.1:${port};
    keepalive 1024;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
  }
`;
}

const keepAlive = `proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;`;

export async function startNginxPair(site: Site): Promise<Peer> {
  const [callerPort = 0, receiverPort = 0] = await freePorts(2);
  const { authority, caller, receiver } = site.certificates;
  const proxies = [
    await startNginx(
      site,
      "nginx-receiver",
      `${upstream("app", site.appPort)}  server {
    listen 127.0.0.1:${receiverPort} ssl backlog=1024;
    ssl_protocols TLSv1.3;
    ssl_certificate ${receiver.certificate};
    ssl_certificate_key ${receiver.key};
    ssl_client_certificate ${authority};
    ssl_verify_client on;
    location / {
      proxy_pass http://app;
      ${keepAlive}
    }
  }
`,
    ),
    await startNginx(
      site,
      "nginx-caller",
      `${upstream("receiver", receiverPort)}  server {
    listen 127.0.0.1:${callerPort} backlog=1024;
    location / {
      proxy_pass https://receiver;
      ${keepAlive}
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_certificate ${caller.certificate};
      proxy_ssl_certificate_key ${caller.key};
      proxy_ssl_trusted_certificate ${authority};
      proxy_ssl_verify on;
      proxy_ssl_name ${receiver.name};
      proxy_ssl_server_name on;
    }
  }
`,
    ),
  ];
  const target = { url: `http://127.0.0.1:${callerPort}/`, host: undefined };
  await waitForAnswer("nginx", target, proxies, site.signal);
  return { name: "nginx", target, proxies };
}
