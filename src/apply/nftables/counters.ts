/** The counters of elements: new connections, since nat hooks see the first packet of each only. */
import type { Core } from "../../core/core.ts";
import { keySize, TABLE_IDS, type TableId, tableLabel } from "../../plan/tables.ts";
import type { Netlink } from "../netlink/socket.ts";
import { MANY_ELEMENTS, type ReadElement, readElements, readElementsAt } from "./elements-read.ts";
import { isCounted } from "./sets.ts";
import { Bytes } from "./table-read.ts";

/**
 * For each table with counters: `count` times a key and a little-endian u64 of packets. The core knows the
 * keys of large tables.
 */
export function readCounters(
  socket: Netlink,
  core: Core | undefined,
  each: (table: TableId, keysAndPackets: Uint8Array, count: number) => void,
): void {
  for (const id of TABLE_IDS) {
    if (!isCounted(id)) continue;
    const records = readTable(socket, core, id);
    if (records.length > 0) each(id, records.whole(), records.length / (keySize(id) + 8));
  }
}

function readTable(socket: Netlink, core: Core | undefined, id: TableId): Bytes {
  const records = new Bytes();
  const restart = () => {
    records.length = 0;
  };
  const append = ({ bytes, key, packets }: ReadElement) => {
    records.append(bytes, key, keySize(id));
    records.appendU64(packets);
  };
  if (core !== undefined && core.elementCount(id) >= MANY_ELEMENTS) {
    const keys = new Bytes();
    core.eachElement(id, (key) => keys.append(key, 0, key.length));
    if (readElementsAt(socket, tableLabel(id), keys.whole(), keySize(id), append)) return records;
    restart();
  }
  readElements(socket, tableLabel(id), restart, append);
  return records;
}
