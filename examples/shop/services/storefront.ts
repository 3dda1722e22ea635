/** What customers see. */
import { call, serveJson } from "./json-service.ts";

serveJson("storefront", async (method, path, body) => {
  if (method === "GET" && path.startsWith("/orders/")) return await call("GET", `http://orders${path}`);
  if (method === "POST" && path === "/checkout") return await call("POST", "http://orders/orders", body);
  return { status: 404, body: { error: "no such page" } };
});
