/** `/metrics`, `/healthz` and `/readyz`, over plain HTTP. Ready: the store is read and the mesh port open. */
import { createServer } from "node:http";
import type { ServerResponse } from "node:http";
import type { Address } from "../../common/runtime/environment.ts";
import type { Metrics } from "../metrics.ts";
import { listen } from "../../common/runtime/listen.ts";

export interface MetricsListener {
  readonly address: Address;
  readonly close: () => Promise<void>;
}

/** Throws ListenError. */
export async function openMetricsListener(address: Address, metrics: Metrics, isReady: () => boolean): Promise<MetricsListener> {
  const server = createServer({ requestTimeout: 5000, headersTimeout: 5000 }, (request, response) => {
    const path = request.url?.split("?", 1)[0];
    if (request.method !== "GET" && request.method !== "HEAD") answer(response, 405, "method not allowed\n");
    else if (path === "/healthz") answer(response, 200, "ok\n");
    else if (path === "/readyz") answer(response, isReady() ? 200 : 503, isReady() ? "ok\n" : "not ready\n");
    else if (path !== "/metrics") answer(response, 404, "not found\n");
    else {
      metrics.registry.metrics().then(
        (text) => {
          answer(response, 200, text, metrics.registry.contentType);
        },
        () => {
          answer(response, 500, "internal error\n");
        },
      );
    }
  });
  const bound = await listen(server, address);
  return {
    address: bound,
    async close() {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => {
        resolve();
      });
      server.closeAllConnections();
      await promise;
    },
  };
}

function answer(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text), "x-content-type-options": "nosniff" });
  response.end(text);
}
