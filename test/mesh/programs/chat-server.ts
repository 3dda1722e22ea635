/** A WebSocket server by hand: `chat-server.ts port`. It greets with who calls, then answers with what it was sent. */
import { createServer } from "node:http";
import { echoFrames, frame, Opcode, switchToWebSocket } from "../websocket-peer.ts";

const server = createServer();
server.on("upgrade", (request, socket) => {
  socket.on("error", () => undefined);
  socket.write(switchToWebSocket(request));
  socket.write(frame(Opcode.text, `hello-in-clear ${String(request.headers["x-countersign-principal"])}`, "server"));
  echoFrames(socket, () => undefined);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
