/** `countersign join-token` */
import { connectAdmin } from "./admin-client.ts";
import { adminSocket } from "./admin-socket.ts";

/** Prints the token alone, so that a script can take it as it is. */
export async function joinToken(
  workload: string,
  options: { namespace: string; ttl?: string; socket?: string; json?: true },
): Promise<void> {
  const { namespace, ttl } = options;
  if (ttl !== undefined && !/^[1-9]\d{0,8}$/.test(ttl)) throw new Error(`--ttl is a number of seconds, not ${ttl}`);
  const admin = connectAdmin(adminSocket(options.socket));
  try {
    const { token, spiffeId, expiresAtSeconds } = await admin.createJoinToken(namespace, workload, Number(ttl ?? 0));
    const expiresAt = new Date(expiresAtSeconds * 1000).toISOString();
    process.stdout.write(options.json ? `${JSON.stringify({ token, spiffeId, expiresAt })}\n` : `${token}\n`);
  } finally {
    admin.close();
  }
}
