/** h2spec's hpack group: field blocks that cannot be decoded. */
import { block, get, headers } from "../wire.ts";
import { expectFatal, site, type Case } from "./case.ts";

const head = block(...get);

/** A block with `field` behind a request's pseudo-fields. */
const undecodable = (section: string, what: string, field: readonly number[], before = head): Case => ({
  section,
  what,
  run() {
    const server = site();
    expectFatal(server, server.send(headers(1, Buffer.concat([before, Buffer.from(field)]))), "COMPRESSION_ERROR");
  },
});

export const hpack: readonly Case[] = [
  // 61 fixed entries and none of its own: 70 is nobody's.
  undecodable("hpack/2.3.3", "an indexed field of a number that names nothing", [0x80 | 70]),
  undecodable("hpack/2.3.3", "a literal whose name's number names nothing", [0x7f, 70 - 63, 5, 0x65, 0x6d, 0x70, 0x74, 0x79]),
  undecodable("hpack/4.2", "a table size update at the end of a block", [0x3f, 0x61]),
  // Name and value "x" (1111001) in Huffman code.
  undecodable("hpack/5.2", "Huffman padding of more than seven bits", [0x00, 0x81, 0xf3, 0x82, 0xf3, 0xff]),
  undecodable("hpack/5.2", "Huffman padding of zeros", [0x00, 0x81, 0xf3, 0x81, 0xf2]),
  undecodable("hpack/5.2", "a Huffman string with EOS in it", [0x00, 0x81, 0xf3, 0x86, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x9f]),
  undecodable("hpack/6.1", "an indexed field of number 0", [0x80]),
  // Our SETTINGS_HEADER_TABLE_SIZE is 65,536.
  undecodable("hpack/6.3", "a table size update over SETTINGS_HEADER_TABLE_SIZE", [0x3f, 0xe2, 0xff, 0x03, ...head], Buffer.alloc(0)),
];
