/** Orders, which are promises about things that the inventory holds. */
import { call, serveJson } from "./json-service.ts";

interface Order {
  readonly id: number;
  readonly item: string;
}

const orders = new Map<string, Order>([["1", { id: 1, item: "42" }]]);

serveJson("orders", async (method, path, body) => {
  if (method === "POST" && path === "/orders") {
    const { item } = body as { item: string };
    const reserved = await call("POST", `http://inventory/items/${encodeURIComponent(item)}/reservations`, {});
    if (reserved.status !== 201) return reserved;
    const order = { id: orders.size + 1, item };
    orders.set(String(order.id), order);
    return { status: 201, body: order };
  }
  const order = orders.get(path.slice("/orders/".length));
  if (method !== "GET" || order === undefined) return { status: 404, body: { error: "no such order" } };
  const item = await call("GET", `http://inventory/items/${encodeURIComponent(order.item)}`);
  return { status: 200, body: { ...order, item: item.body } };
});
