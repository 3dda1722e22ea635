/** A gRPC client of grpc-js, told a host and a port and nothing else: `grpc-client.ts host:port`. Prints what came as JSON. */
import { once } from "node:events";
import { Client, credentials, type Metadata, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { bytes, definition } from "../grpc-application.ts";

export interface GrpcOutcome {
  readonly unary: string;
  readonly principal: string;
  readonly failure: { readonly code: number; readonly details: string };
  /** Each was sent when the one before it had come back. */
  readonly chat: readonly string[];
  readonly status: number;
}

const client = new Client(process.argv[2] ?? "", credentials.createInsecure());

function unary(message: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  client.makeUnaryRequest<Buffer, Buffer>(definition.Unary.path, bytes, bytes, Buffer.from(message), (error, answer) =>
    error ? reject(error) : resolve(String(answer)),
  );
  return promise;
}

async function chat(): Promise<Pick<GrpcOutcome, "chat" | "principal" | "status">> {
  const call = client.makeBidiStreamRequest<Buffer, Buffer>(definition.Chat.path, bytes, bytes);
  const metadata = once(call, "metadata") as Promise<[Metadata]>;
  const status = once(call, "status") as Promise<[StatusObject]>;
  const answers: string[] = [];
  for (let index = 0; index < 5; index++) {
    call.write(Buffer.from(`chat-in-clear-${index}`));
    const [answer] = (await once(call, "data")) as [Buffer];
    answers.push(answer.toString());
  }
  call.end();
  call.resume();
  return { chat: answers, principal: String((await metadata)[0].get("x-principal")[0]), status: (await status)[0].code };
}

const failure = await unary("fail").then(
  () => ({ code: 0, details: "" }),
  ({ code, details }: ServiceError) => ({ code, details }),
);
const outcome: GrpcOutcome = { unary: await unary("unary-in-clear"), failure, ...(await chat()) };
process.stdout.write(`${JSON.stringify(outcome)}\n`);
client.close();
