/** An ordinary gRPC client: `grpc-client.ts ADDRESS MARKER` asks both methods and prints what came. */
import { credentials, makeClientConstructor, type ClientDuplexStream, type ServiceError } from "@grpc/grpc-js";
import { calculator, type Numbers, type Sum } from "./grpc-calculator.ts";

const [, , address = "", marker = ""] = process.argv;
const Calculator = makeClientConstructor(calculator, "Calculator");
const client = new Calculator(address, credentials.createInsecure());
const methods = client as unknown as {
  add(numbers: Numbers, callback: (error: ServiceError | null, sum: Sum) => void): void;
  running(): ClientDuplexStream<Numbers, Sum>;
};

const added = await new Promise<Sum>((resolve, reject) => {
  methods.add({ marker, numbers: [1, 2, 3] }, (error, sum) => (error ? reject(error) : resolve(sum)));
});
const stream = methods.running();
const sums: number[] = [];
for (let number = 1; number <= 5; number++) stream.write({ marker, numbers: [number] });
stream.end();
for await (const { sum } of stream as AsyncIterable<Sum>) sums.push(sum);
process.stdout.write(`${JSON.stringify({ added, sums })}\n`);
client.close();
