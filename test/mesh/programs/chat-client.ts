/** Node's own WebSocket client: `chat-client.ts ws://host/`. Prints what came, a line a message, and how it ended. */
import { once } from "node:events";

const socket = new WebSocket(process.argv[2] ?? "");
const said = async (): Promise<string> => {
  const [event] = (await once(socket, "message")) as [MessageEvent];
  return String(event.data);
};
const print = (line: string) => process.stdout.write(`${line}\n`);

print(await said());
for (const message of ["first-in-clear", "in-clear".repeat(10_000)]) {
  const answer = said();
  socket.send(message);
  print((await answer) === message ? `${message.length} back` : "something else came back");
}
const closed = once(socket, "close") as Promise<[CloseEvent]>;
socket.close(4000, "enough-in-clear");
const [{ code, reason, wasClean }] = await closed;
print(`${code} ${reason} ${wasClean}`);
