/** Loaded into the sidecars that are watched: SIGUSR2 has V8 collect all garbage, so that what is left is what is held. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
process.on("SIGUSR2", () => collect());
