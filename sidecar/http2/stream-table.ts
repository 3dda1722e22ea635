/**
 * The open streams of a connection by id.
 *
 * Hot path: ids come one after the other, so a stream nearly always has a place of its own in an array; one whose place is
 * taken, by a stream that has stayed open for long, is kept in a map.
 */
import type { Http2Stream } from "./stream.ts";

export interface StreamTable {
  readonly places: (Http2Stream | undefined)[];
  readonly others: Map<number, Http2Stream>;
  size: number;
}

/** A power of two over the streams that are open at once as a rule. */
const PLACES = 512;

export function createStreamTable(): StreamTable {
  return { places: Array.from({ length: PLACES }, () => undefined), others: new Map(), size: 0 };
}

export function findStream(table: StreamTable, id: number): Http2Stream | undefined {
  const stream = table.places[(id >>> 1) & (PLACES - 1)];
  if (stream !== undefined && stream.id === id) return stream;
  return table.others.size === 0 ? undefined : table.others.get(id);
}

export function addStream(table: StreamTable, stream: Http2Stream): void {
  const place = (stream.id >>> 1) & (PLACES - 1);
  if (table.places[place] === undefined) table.places[place] = stream;
  else table.others.set(stream.id, stream);
  table.size++;
}

export function removeStream(table: StreamTable, stream: Http2Stream): void {
  const place = (stream.id >>> 1) & (PLACES - 1);
  if (table.places[place] === stream) {
    table.places[place] = undefined;
    table.size--;
  } else if (table.others.delete(stream.id)) table.size--;
}

/** All of them, in no particular order; a copy, so that streams may end meanwhile. */
export function allStreams(table: StreamTable): Http2Stream[] {
  return [...table.places.filter((stream) => stream !== undefined), ...table.others.values()];
}
