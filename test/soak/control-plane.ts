/**
 * `countersign control-plane` by a clock that is behind, by `SOAK_LAG_SECONDS`. What it issues is then older than it looks, and
 * sidecars renew it that much sooner: the shortest life that a mesh can give a certificate is five minutes, and a soak wants
 * one renewed three times in one.
 */
import { runUntilSignalled } from "../../common/runtime/shutdown.ts";
import { runControlPlane } from "../../control-plane/main.ts";
import { createShiftedClock } from "../fakes/shifted-clock.ts";

const clock = createShiftedClock(-1000 * Number(process.env["SOAK_LAG_SECONDS"]));
await runUntilSignalled((signal) => runControlPlane(process.env, signal, { clock }), { drainMilliseconds: 15_000 });
process.exit(0);
