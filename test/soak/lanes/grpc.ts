/** gRPC by a client of the field's own: a unary call, then a conversation of several messages, on one connection. */
import { credentials, type ClientDuplexStream } from "@grpc/grpc-js";
import { setTimeout as delay } from "node:timers/promises";
import { TalkClient } from "../talk.ts";
import { callLimitMs, nextNumber, repeat, type Lane } from "./lane.ts";

const messages = 10;
const pauseMs = 50;

type Client = InstanceType<typeof TalkClient>;

function say(client: Client, message: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, answer?: Buffer) => (error ? reject(error) : resolve(answer ?? Buffer.alloc(0)));
    client["say"]?.(message, { deadline: Date.now() + callLimitMs }, done);
  });
}

async function converse(client: Client, number: number): Promise<string | undefined> {
  const call = client["converse"]?.({ deadline: Date.now() + callLimitMs }) as ClientDuplexStream<Buffer, Buffer>;
  const answers = call[Symbol.asyncIterator]();
  try {
    for (let index = 0; index < messages; index++) {
      const message = Buffer.from(`message ${index} of ${number}`);
      call.write(message);
      const { value, done } = (await answers.next()) as IteratorResult<Buffer>;
      if (done === true) throw new Error(`the stream ended before answer ${index}`);
      if (!value.equals(message)) return `message ${index} came back as ${value.toString()}`;
      await delay(pauseMs);
    }
    call.end();
    return (await answers.next()).done === true ? undefined : "more came back than was sent";
  } finally {
    call.cancel();
  }
}

export const grpc: Lane = async (context, stop) => {
  const client = new TalkClient(context.outbound, credentials.createInsecure(), { "grpc.default_authority": "talk" });
  try {
    await repeat("grpc", context, stop, 10, async () => {
      const number = nextNumber();
      const message = Buffer.from(`call ${number} `.repeat(20));
      if (!(await say(client, message)).equals(message)) return "another message came back";
      return await converse(client, number);
    });
  } finally {
    client.close();
  }
};
