/** Attestation: from a proof to the SPIFFE id that it proves. One attestor a kind of proof. */
import type { IssueSvidRequest } from "../../common/gen/mesh/v1/identity.ts";
import type { SpiffeId } from "../../common/spiffe/id.ts";
import type { MeshState } from "../resources/mesh-state.ts";
import type { Peer } from "../server/peer.ts";

type ProofOf<Case extends string> = Extract<NonNullable<IssueSvidRequest["proof"]>, { readonly $case: Case }>["value"];

export type ProofKind = NonNullable<IssueSvidRequest["proof"]>["$case"];

/** What an attestor may look at besides the proof. */
export interface AttestationContext {
  readonly state: MeshState;
  /** The verified client certificate of the connection, where there is one. */
  readonly peer: Peer | undefined;
  /** IP address that the call comes from. */
  readonly address: string;
}

export interface Attestor<Kind extends ProofKind> {
  /** As sessions and policies call it: `mesh:Attestation`. */
  readonly method: string;
  /** Resolves to the id proven; a proof that is good once is used up then. Throws RequestError. */
  readonly attest: (proof: ProofOf<Kind>, context: AttestationContext) => Promise<SpiffeId>;
}

export type Attestors = { readonly [Kind in ProofKind]: Attestor<Kind> };
