/** As a client of nginx, by prior knowledge and by ALPN: GOAWAY in the midst of a run, bodies both ways, 200 streams. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NotCalled, openCaller, type Answer, type Caller } from "./caller.ts";
import { lacking, makeCertificate, start } from "./programs.ts";
import { bytesOf } from "./site.ts";

const because = lacking("nginx", "openssl");
const large = bytesOf(8 << 20);

describe.skipIf(because !== "")(`nginx${because}`, () => {
  let folder: string;
  let server: AsyncDisposable;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "nginx-"));
    const { key, certificate } = await makeCertificate(folder);
    writeFileSync(join(folder, "large"), large);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder}/${kind};`);
    writeFileSync(
      join(folder, "nginx.conf"),
      `daemon off; master_process off; pid ${folder}/pid; error_log stderr notice;
      events { worker_connections 100; }
      http {
        access_log off; ${temporary.join(" ")}
        client_max_body_size 0; keepalive_requests 1000000; http2_max_concurrent_streams 200;
        ssl_certificate ${certificate}; ssl_certificate_key ${key};
        server {
          listen unix:${folder}/plain http2; listen unix:${folder}/tls ssl http2; root ${folder};
          location /hello { return 200 "hello"; }
          location /uploads/ { dav_methods PUT; create_full_put_path on; }
        }
        server { listen unix:${folder}/short http2; keepalive_requests 37; location / { return 200 "hello"; } }
        server { listen unix:${folder}/small http2; client_max_body_size 1k; location / { return 200 "hello"; } }
      }`,
    );
    server = await start("nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"], /using the "epoll"/);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  async function openTls(): Promise<Caller> {
    const socket = connectTls({
      path: join(folder, "tls"),
      ALPNProtocols: ["h2"],
      ca: readFileSync(join(folder, "cert.pem")),
      servername: "localhost",
    });
    await once(socket, "secureConnect");
    expect(socket.alpnProtocol).toBe("h2");
    return openCaller(socket);
  }

  it.each<[string, () => Promise<Caller>]>([
    ["prior knowledge", () => openCaller({ path: join(folder, "plain") })],
    ["ALPN", openTls],
  ])("by %s: bodies both ways beside 500 small calls", async (_, open) => {
    await using client = await open();
    const up = client.ask({ method: "PUT", path: "/uploads/a", body: large, fields: { "content-length": String(large.length) } });
    const down = client.ask({ path: "/large" });
    const small = Array.from({ length: 500 }, (__, i) =>
      client.ask({ path: `/hello?${i}`, fields: { "x-number": String(i), "x-tenant": "a" } }),
    );
    for (const { status, body } of await Promise.all(small)) expect([status, String(body)]).toEqual([200, "hello"]);
    expect((await down).body.equals(large)).toBe(true);
    expect([201, 204]).toContain((await up).status);
    expect((await client.ask({ path: "/uploads/a" })).body.equals(large)).toBe(true);
  });

  it("loses no call to its GOAWAYs: what it did not look at is called again", async () => {
    const answers: Answer[] = [];
    let connections = 0;
    while (answers.length < 300) {
      await using client = await openCaller({ path: join(folder, "short") });
      connections++;
      const asked = await Promise.allSettled(Array.from({ length: 300 - answers.length }, () => client.ask({ path: "/" })));
      for (const outcome of asked) if (outcome.status === "fulfilled") answers.push(outcome.value);
      const others = asked.filter((outcome) => outcome.status === "rejected");
      expect(others.every(({ reason }) => reason instanceof NotCalled)).toBe(true);
    }
    expect(answers.every(({ status, reset }) => status === 200 && reset === undefined)).toBe(true);
    expect(connections).toBeGreaterThanOrEqual(8);
  });

  it("refuses a body, and its answer is heard", async () => {
    await using client = await openCaller({ path: join(folder, "small") });
    const declared = await client.ask({ method: "POST", path: "/", body: large, fields: { "content-length": String(large.length) } });
    expect(declared.status).toBe(413);
    expect((await client.ask({ path: "/" })).status).toBe(200);
  });

  it("is cancelled and goes on", async () => {
    await using client = await openCaller({ path: join(folder, "plain") });
    const cut = await Promise.all(Array.from({ length: 100 }, () => client.ask({ path: "/large", cancelAt: 50_000 })));
    expect(cut.every(({ reset }) => reset === "CANCEL")).toBe(true);
    expect((await client.ask({ path: "/large" })).body.equals(large)).toBe(true);
  });
});
