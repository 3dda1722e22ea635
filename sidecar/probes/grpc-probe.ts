/** `grpc` probes: one call of grpc.health.v1.Health/Check (the GRPC Health Checking Protocol), without TLS, as a kubelet makes it. */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Client, credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";

const method = "/grpc.health.v1.Health/Check";
/** HealthCheckRequest.service and HealthCheckResponse.status: field 1 of each. */
const field = 1;
const serving = 1;
const servingStatuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/** Resolves when `service` at `address` (`host:port`) says SERVING; rejects with what it says instead. */
export async function askGrpc(address: string, service: string, signal: AbortSignal): Promise<void> {
  const client = new Client(address, credentials.createInsecure(), {
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,
    "grpc.max_receive_message_length": 4096,
    "grpc.use_local_subchannel_pool": 1,
  });
  try {
    const found = await new Promise<number>((resolve, reject) => {
      const abort = () => {
        call.cancel();
        reject(signal.reason as Error);
      };
      const call = client.makeUnaryRequest(method, requestOf, statusIn, service, new Metadata(), {}, (error, answer) => {
        signal.removeEventListener("abort", abort);
        if (error) reject(new Error(describe(error), { cause: error }));
        else resolve(answer ?? 0);
      });
      signal.addEventListener("abort", abort, { once: true });
    });
    if (found !== serving) throw new Error(`it says ${servingStatuses[found] ?? found}`);
  } finally {
    client.close();
  }
}

function describe({ code, details }: ServiceError): string {
  if (code === status.UNIMPLEMENTED) return "it has no grpc.health.v1.Health";
  return `${status[code]}: ${details}`;
}

function requestOf(service: string): Buffer {
  const writer = new BinaryWriter();
  if (service !== "") writer.tag(field, WireType.LengthDelimited).string(service);
  return Buffer.from(writer.finish());
}

function statusIn(bytes: Buffer): number {
  const reader = new BinaryReader(bytes);
  let found = 0;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field && wireType === WireType.Varint) found = reader.int32();
    else reader.skip(wireType, number);
  }
  return found;
}
