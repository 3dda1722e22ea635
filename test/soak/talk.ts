/** The gRPC service of the soak's application. Its messages are bytes of no meaning, so that it needs no code generated. */
import { makeGenericClientConstructor, type ServiceDefinition } from "@grpc/grpc-js";

const bytes = (message: Buffer): Buffer => message;

const method = (name: string, streaming: boolean) => ({
  path: `/soak.v1.Talk/${name}`,
  requestStream: streaming,
  responseStream: streaming,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

export const talkService = {
  say: method("Say", false),
  converse: method("Converse", true),
} satisfies ServiceDefinition;

export const TalkClient = makeGenericClientConstructor(talkService, "soak.v1.Talk");
