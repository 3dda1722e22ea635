/** Calls by HTTP/1.1: small ones, and bodies of all sizes that have to come back as they were sent. */
import { randomBytes } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { buffer } from "node:stream/consumers";
import { addressOf, call, type Answer } from "../../mesh/clients.ts";
import { callLimitMs, nextNumber, repeat, type Lane } from "./lane.ts";

/** What the others cut their bodies from. */
const material = randomBytes(8 * 1024 * 1024);

/** None, a little, and all around the length up to which a body is hashed whole before it is sent. */
const postSizes = [0, 1, 100, 4096, 16_384, 65_535, 65_536, 65_537, 100_000];
const largeSizes = [262_144, 1_048_576, 1_048_577, 4_194_304];

function problemOf(answer: Answer, expected: Buffer): string | undefined {
  const { status, reason, body } = answer;
  if (status !== 200) return `status ${status} ${reason}`;
  if (!body.equals(expected)) return `${body.length} bytes came back for ${expected.length}, or others`;
  return undefined;
}

/** A refusal is not an answer of the application's: the call is lost. */
function orLost(answer: Answer): Answer {
  if (answer.status >= 500) throw new Error(`status ${answer.status} ${answer.reason}`);
  return answer;
}

export const small: Lane = async (context, stop) => {
  using agent = keepAlive();
  await repeat("small", context, stop, 2, async () => {
    const path = `/page/${nextNumber()}`;
    const answer = await call(context.outbound, { host: "app", path, agent, signal: AbortSignal.timeout(callLimitMs) });
    return problemOf(orLost(answer), Buffer.from(path));
  });
};

export const post: Lane = async (context, stop) => {
  using agent = keepAlive();
  await repeat("post", context, stop, 5, async () => {
    const number = nextNumber();
    const size = postSizes[number % postSizes.length] ?? 0;
    const body = material.subarray(number % 1000, (number % 1000) + size);
    const answer = await call(context.outbound, {
      host: "app",
      method: "POST",
      path: `/mirror/${number}`,
      body,
      agent,
      signal: AbortSignal.timeout(callLimitMs),
    });
    return problemOf(orLost(answer), body);
  });
};

/** By turns of a length said before and in chunks of no length said. */
export const large: Lane = async (context, stop) => {
  using agent = keepAlive();
  await repeat("large", context, stop, 50, async () => {
    const number = nextNumber();
    const size = largeSizes[number % largeSizes.length] ?? 0;
    const body = material.subarray(number % 1000, (number % 1000) + size);
    return problemOf(orLost(await stream(context.outbound, `/mirror/${number}`, body, number % 2 === 0, agent)), body);
  });
};

const pieceBytes = 50_000;

/** Sends in pieces as the connection takes them. */
async function stream(outbound: string, path: string, body: Buffer, lengthSaid: boolean, agent: Agent): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = httpRequest(
    {
      ...addressOf(outbound),
      method: "POST",
      path,
      headers: { host: "app", ...(lengthSaid ? { "content-length": String(body.length) } : { "transfer-encoding": "chunked" }) },
      agent,
      signal: AbortSignal.timeout(callLimitMs),
    },
    (response) => {
      const { headers, statusCode: status = 0 } = response;
      buffer(response).then(
        (bytes) =>
          resolve({ status, headers, body: bytes, trailers: response.trailers, reason: String(headers["x-countersign-reason"] ?? "") }),
        reject,
      );
    },
  );
  sent.once("error", reject);
  let position = 0;
  const write = (): void => {
    while (position < body.length) {
      const room = sent.write(body.subarray(position, position + pieceBytes));
      position += pieceBytes;
      if (!room) return;
    }
    sent.end();
  };
  sent.on("drain", write);
  write();
  return await promise;
}

function keepAlive(): Agent & Disposable {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return Object.assign(agent, { [Symbol.dispose]: () => agent.destroy() });
}
