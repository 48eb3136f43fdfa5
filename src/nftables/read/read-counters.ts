/**
 * Reads the packet counters of elements. They count new connections, because nat hooks see only the
 * first packet of a connection.
 */
import { PACKETS_BYTES } from "../../../asm/layout/element.ts";
import { OP_DELETE, OP_HEADER, OP_KIND, OP_TABLE } from "../../../asm/layout/operation.ts";
import type { CounterSink } from "../../backend/parts.ts";
import type { Core } from "../../core/core.ts";
import type { OperationList } from "../../model/operation-list.ts";
import { keySize, TABLE_IDS, type TableId, tableLabel, valueSize } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { isCounted } from "../wire/sets.ts";
import { ByteBuffer, tableBuffer } from "./byte-buffer.ts";
import { type ReadElement, readPresentAt } from "./read-elements.ts";

/** Number of elements read without a pause. Reading them takes a few milliseconds. */
const SLICE = 512;
/**
 * Counters are read before a deletion if the transaction deletes at most this many elements. Each
 * read takes a few microseconds.
 */
const DELETED_MAX = 200;

/**
 * Reads all counters, in portions, by the keys of the committed elements. No dump is in progress
 * between two portions, so `rest` may let other work use the socket.
 */
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
    const known = new ByteBuffer();
    core.eachElement(id, (key) => known.append(key, 0, size));
    const keys = known.view();
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

/** Reads the counters of the elements that these operations delete, unless there are too many. */
export function readDeleted(
  socket: Netlink,
  { region, count }: OperationList,
  offsets: Uint32Array,
  each: CounterSink,
): void {
  const keys = new Map<TableId, ByteBuffer>();
  let deletes = 0;
  for (let i = 0; i < count; i++) {
    const offset = offsets[i] as number;
    const id = region[offset + OP_TABLE] as TableId;
    if (region[offset + OP_KIND] !== OP_DELETE || !COUNTED[id]) continue;
    if (++deletes > DELETED_MAX) return;
    tableBuffer(keys, id).append(region, offset + OP_HEADER, keySize(id));
  }
  for (const [id, list] of keys) readSlice(socket, id, list.view(), each);
}

const COUNTED = TABLE_IDS.map(isCounted);
const KEYS_BYTES = 256;

function readSlice(socket: Netlink, id: TableId, keys: Uint8Array, each: CounterSink): void {
  const records = new ByteBuffer(KEYS_BYTES);
  const values = new ByteBuffer(KEYS_BYTES);
  const append = ({ bytes, key, data, packets }: ReadElement) => {
    records.append(bytes, key, keySize(id));
    records.appendU64(packets);
    values.append(bytes, data, valueSize(id));
  };
  readPresentAt(socket, tableLabel(id), keys, keySize(id), append);
  const count = records.length / (keySize(id) + PACKETS_BYTES);
  if (count === 0) return;
  each({ table: id, count, keysAndPackets: records.view(), values: values.view() });
}
