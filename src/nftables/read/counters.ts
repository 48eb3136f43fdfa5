/** The counters of elements: new connections, since nat hooks see the first packet of each only. */
import { OP_DELETE, OP_HEADER } from "../../../asm/layout/layout.ts";
import type { CounterSink } from "../../backend/backend.ts";
import type { Core } from "../../core/core.ts";
import type { OperationList } from "../../model/operation-list.ts";
import { keySize, TABLE_IDS, type TableId, tableLabel, valueSize } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { Bytes, bytesOf } from "../wire/byte-buffer.ts";
import { isCounted } from "../wire/sets.ts";
import { type ReadElement, readPresentAt } from "./read-elements.ts";

/** Elements read in one go: some milliseconds. */
const SLICE = 512;
/** Counted elements that a transaction may delete and have read before: some microseconds each. */
const DELETED_MAX = 200;

/** By the keys that the core knows, so that nothing is under way on the socket between two slices. */
export async function readCounters(
  socket: Netlink,
  core: Pick<Core, "eachElement">,
  each: CounterSink,
  rest: () => Promise<void>,
): Promise<void> {
  let room = SLICE;
  for (const id of TABLE_IDS) {
    if (!isCounted(id)) continue;
    const size = keySize(id);
    const known = new Bytes();
    core.eachElement(id, (key) => known.append(key, 0, size));
    const keys = known.whole();
    for (let at = 0; at < keys.length; ) {
      if (room === 0) {
        await rest();
        room = SLICE;
      }
      const some = keys.subarray(at, at + room * size);
      readSlice(socket, id, some, each);
      room -= some.length / size;
      at += some.length;
    }
  }
}

/** Reads what these operations are about to delete, if that is not much. */
export function readDeleted(
  socket: Netlink,
  { region, count }: OperationList,
  offsets: Uint32Array,
  each: CounterSink,
): void {
  const keys = new Map<TableId, Bytes>();
  let deletes = 0;
  for (let i = 0; i < count; i++) {
    const offset = offsets[i] as number;
    const id = region[offset + 1] as TableId;
    if (region[offset] !== OP_DELETE || !COUNTED[id]) continue;
    if (++deletes > DELETED_MAX) return;
    bytesOf(keys, id).append(region, offset + OP_HEADER, keySize(id));
  }
  for (const [id, list] of keys) readSlice(socket, id, list.whole(), each);
}

const COUNTED = TABLE_IDS.map(isCounted);
const KEYS_BYTES = 256;

function readSlice(socket: Netlink, id: TableId, keys: Uint8Array, each: CounterSink): void {
  const records = new Bytes(KEYS_BYTES);
  const values = new Bytes(KEYS_BYTES);
  const append = ({ bytes, key, data, packets }: ReadElement) => {
    records.append(bytes, key, keySize(id));
    records.appendU64(packets);
    values.append(bytes, data, valueSize(id));
  };
  readPresentAt(socket, tableLabel(id), keys, keySize(id), append);
  const count = records.length / (keySize(id) + 8);
  if (count === 0) return;
  each({ table: id, count, keysAndPackets: records.whole(), values: values.whole() });
}
