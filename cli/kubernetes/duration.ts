import { InstallError } from "./install/error.ts";

/** `--timeout` in milliseconds, from text such as `90s`, `5m` or plain seconds. Throws InstallError `bad-option`. */
export function durationFrom(text: string): number {
  const [, amount, unit] = /^([0-9]{1,6})(s|m|)$/.exec(text) ?? [];
  if (amount === undefined) throw new InstallError("bad-option", `--timeout ${text}: expected seconds or minutes, such as 90s or 5m`);
  return Number(amount) * (unit === "m" ? 60_000 : 1000);
}
