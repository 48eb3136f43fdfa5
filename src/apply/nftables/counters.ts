/** The counters of elements: new connections, since nat hooks see the first packet of each only. */
import { keySize, type TableId, tableLabel } from "../../plan/tables.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readElements } from "./elements-read.ts";
import { isCounted, TABLE_IDS } from "./sets.ts";

/** For each table with counters: `count` times a key and a little-endian u64 of packets. */
export function readCounters(
  socket: Netlink,
  each: (table: TableId, keysAndPackets: Uint8Array, count: number) => void,
): void {
  for (const id of TABLE_IDS) {
    if (!isCounted(id)) continue;
    const keyBytes = keySize(id);
    let records = new Uint8Array(64 * (keyBytes + 8));
    let length = 0;
    const restart = () => {
      length = 0;
    };
    readElements(socket, tableLabel(id), restart, ({ bytes, key, packets }) => {
      if (length + keyBytes + 8 > records.length) {
        const grown = new Uint8Array(records.length * 2);
        grown.set(records);
        records = grown;
      }
      for (let i = 0; i < keyBytes; i++) records[length + i] = bytes[key + i] as number;
      new DataView(records.buffer).setBigUint64(length + keyBytes, packets, true);
      length += keyBytes + 8;
    });
    if (length > 0) each(id, records.subarray(0, length), length / (keyBytes + 8));
  }
}
