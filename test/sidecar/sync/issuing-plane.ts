/**
 * A control plane that does nothing but issue certificates, by the real authority, to whoever asks with a proof that the test
 * likes. It can be closed and opened again on the same port.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import { IdentityServiceService, type IdentityServiceServer, type IssueSvidRequest } from "../../../common/gen/mesh/v1/identity.ts";
import { fromString } from "../../../common/spiffe/id.ts";
import type { Clock } from "../../../common/runtime/clock.ts";
import { trustDomainFromString } from "../../../common/spiffe/trust-domain.ts";
import { bundleToPem } from "../../../common/x509/bundle.ts";
import { openAuthority } from "../../../control-plane/ca/authority.ts";
import { checkCsr } from "../../../control-plane/ca/csr.ts";
import { issueOwnIdentity } from "../../../control-plane/server/own-identity.ts";
import { openSealer } from "../../../control-plane/store/master-key.ts";
import { openSqliteStore } from "../../../control-plane/store/sqlite-store.ts";

export const trustDomain = trustDomainFromString("test.example");

export interface IssuingPlane extends AsyncDisposable {
  /** By name. */
  readonly address: string;
  /** PEM. */
  readonly bundle: string;
  /** What it has been asked, as `<kind> <token>`. */
  readonly asked: readonly string[];
  /** What the certificates are for, or undefined to refuse. */
  setAnswer(spiffeId: string | undefined): void;
  close(): void;
  open(): Promise<void>;
}

export async function createIssuingPlane(clock: Clock): Promise<IssuingPlane> {
  const folder = mkdtempSync(join(tmpdir(), "countersign-issuing-"));
  const store = openSqliteStore({ path: join(folder, "store.sqlite") });
  const sealer = await openSealer(store, join(folder, "master.key"));
  const authority = await openAuthority({ store, sealer, trustDomain, clock, onIssue: async () => {} });
  const own = await issueOwnIdentity(authority, trustDomain, 86_400);
  const asked: string[] = [];
  let answer: string | undefined = "spiffe://test.example/ns/shop/sa/cart";
  let server: Server;
  let port = 0;

  const implementation: IdentityServiceServer = {
    issueSvid({ request }, reply) {
      asked.push(inWords(request.proof));
      if (answer === undefined) {
        reply({ code: status.PERMISSION_DENIED, details: "unknown pod" });
        return;
      }
      authority.issueSvid({ spiffeId: fromString(answer), key: checkCsr(request.csr), lifetimeSeconds: 300 }).then(
        ({ spiffeId, chain, notAfter }) => reply(null, { spiffeId, certificateChain: [...chain], expiresAtSeconds: notAfter, bundles: [] }),
        (error: unknown) => reply({ code: status.INTERNAL, details: String(error) }),
      );
    },
  };

  async function open(): Promise<void> {
    server = new Server();
    server.addService(IdentityServiceService, implementation);
    const pair = { private_key: Buffer.from(own.privateKey), cert_chain: Buffer.from(own.certificateChain) };
    port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`localhost:${port}`, ServerCredentials.createSsl(null, [pair]), (error, bound) =>
        error ? reject(error) : resolve(bound),
      );
    });
  }

  await open();
  return {
    address: `localhost:${port}`,
    bundle: bundleToPem(authority.bundle()),
    asked,
    setAnswer(spiffeId) {
      answer = spiffeId;
    },
    close: () => server.forceShutdown(),
    open,
    async [Symbol.asyncDispose]() {
      server.forceShutdown();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  };
}

function inWords(proof: IssueSvidRequest["proof"]): string {
  if (proof === undefined) return "nothing";
  return proof.$case === "svid" ? "svid" : `${proof.$case} ${proof.value.token}`;
}
