/**
 * An ordinary HTTP server. MANNERS says how it takes SIGTERM: `polite` answers what it has and ends, as frameworks do; `rude` is gone at
 * once, as a program that knows nothing of signals.
 */
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

const server = createServer((request, response) => {
  const { method = "", url = "" } = request;
  let length = 0;
  request.on("data", (chunk: Buffer) => {
    length += chunk.length;
  });
  request.on("end", () => {
    const answer = (): void => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ method, url, length, from: request.headers["x-forwarded-client-cert"] ?? null }));
    };
    // Some of the calls are under way when the end comes.
    if (url.startsWith("/slow")) void delay(100).then(answer);
    else answer();
  });
});
server.listen(8080, "0.0.0.0");

process.on("SIGTERM", () => {
  if (process.env["MANNERS"] === "rude") process.exit(0);
  server.close();
});
