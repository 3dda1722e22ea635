/** The things there are. It sees who asks in the headers that its sidecar adds. */
import { serveJson } from "./json-service.ts";

const items = new Map([["42", { id: "42", name: "towel", left: 100 }]]);

serveJson("inventory", (method, path, _body, request) => {
  const [, , id = "", reservations] = path.split("/");
  const item = items.get(id);
  if (item === undefined) return { status: 404, body: { error: "no such item" } };
  if (method === "DELETE") {
    items.delete(id);
    return { status: 204, body: {} };
  }
  if (method === "POST" && reservations === "reservations") {
    item.left -= 1;
    return { status: 201, body: { reserved: id, for: request.headers["x-countersign-principal"] } };
  }
  return { status: 200, body: item };
});
