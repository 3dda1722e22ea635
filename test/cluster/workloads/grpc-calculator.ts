/** The service that the gRPC pair speaks: its messages are JSON, so that nothing has to be generated. */
import type { ServiceDefinition } from "@grpc/grpc-js";

export interface Numbers {
  readonly marker: string;
  readonly numbers: readonly number[];
}

export interface Sum {
  readonly sum: number;
  /** Who asked, as the server was told. */
  readonly from: string;
}

function method(name: string, requestStream: boolean, responseStream: boolean) {
  const serialize = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  return {
    path: `/test.Calculator/${name}`,
    requestStream,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: (bytes: Buffer): Numbers => JSON.parse(bytes.toString()) as Numbers,
    responseSerialize: serialize,
    responseDeserialize: (bytes: Buffer): Sum => JSON.parse(bytes.toString()) as Sum,
  };
}

export const calculator = {
  add: method("Add", false, false),
  /** A sum for each message. */
  running: method("Running", true, true),
} satisfies ServiceDefinition;
