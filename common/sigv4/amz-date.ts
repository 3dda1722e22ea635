/** The time format of SigV4, `yyyymmddThhmmssZ` (ISO 8601 basic, UTC). Hot path: most requests share their second. */
import { SigV4Error } from "./error.ts";

let formattedSecond = Number.NaN;
let formatted = "";

/** `epochSeconds` must be whole, and within the years 0 to 9999. */
export function formatAmzDate(epochSeconds: number): string {
  if (epochSeconds !== formattedSecond) {
    formatted = `${new Date(epochSeconds * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z`;
    formattedSecond = epochSeconds;
  }
  return formatted;
}

const pattern = /^(\d{4})(\d{2})(\d{2})T(\d{2})(\d{2})(\d{2})Z$/;
let parsedText = "";
let parsed = Number.NaN;

/** Seconds since 1970. Throws SigV4Error `malformed-date` for any other form, and for a day or time that does not exist. */
export function parseAmzDate(text: string): number {
  if (text === parsedText) return parsed;
  const parts = pattern.exec(text);
  if (parts === null) throw malformedDate();
  const [, year, month, day, hour, minute, second] = parts;
  const milliseconds = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  // Date.UTC carries the 31st of February over into March.
  const epochSeconds = milliseconds / 1000;
  if (formatAmzDate(epochSeconds) !== text) throw malformedDate();
  parsedText = text;
  parsed = epochSeconds;
  return parsed;
}

function malformedDate(): SigV4Error {
  return new SigV4Error("malformed-date", "x-amz-date is not a time of the form yyyymmddThhmmssZ");
}
