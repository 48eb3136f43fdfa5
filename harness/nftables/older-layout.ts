/** Gives the table another layout, as another version of Sluice could have left it. */
import type { SkeletonOptions } from "../../src/backend/skeleton-options.ts";
import type { Core } from "../../src/core/core.ts";
import { keySize, tableFamily, valueSize } from "../../src/model/tables.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/constants.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { adoptElements } from "../../src/nftables/adopt-table.ts";
import { TableKeeper } from "../../src/nftables/repair/table-keeper.ts";
import { ElementWriter } from "../../src/nftables/wire/element-writer.ts";
import {
  eachAction,
  OperationSorter,
  writeOperations,
} from "../../src/nftables/wire/sort-operations.ts";
import { add, type Element, operationList } from "../core/made-operations.ts";

/** Text in the messages, and a replacement of the same length. */
const CHANGES = [
  ["frontends", "forwarded"],
  [", sets ", ", Sets "],
] as const;
/** The name of a map in the other layout. */
export const OLDER_MAP = "forwarded4";

/**
 * Replaces the table in this network namespace by one with the same elements, in one transaction.
 * Two maps have other names, and so has the layout in the table's comment. Remembered clients are
 * forgotten.
 */
export function giveOlderLayout(options: SkeletonOptions): void {
  const socket = new NetlinkSocket(NETLINK_NETFILTER);
  try {
    const elements = readAll(socket);
    const keeper = new TableKeeper(socket, options);
    const { batch, actions } = keeper;
    keeper.writeCreate({ replaces: true });
    const operations = operationList(add(1, ...elements));
    const offsets = new OperationSorter().sort(operations);
    eachAction(operations, offsets, "add", (table, action) =>
      actions.ensure(batch, tableFamily(table), action),
    );
    writeOperations(operations, offsets, new ElementWriter(batch), () => "default/older");
    const { bytes, length } = batch.writer;
    const message = Buffer.from(bytes.buffer, 0, length);
    for (const [text, other] of CHANGES) {
      for (let at = message.indexOf(text); at >= 0; at = message.indexOf(text, at)) {
        message.write(other, at);
      }
    }
    keeper.send("give the table another layout");
  } finally {
    socket.close();
  }
}

function readAll(socket: NetlinkSocket): Element[] {
  const elements: Element[] = [];
  const core: Pick<Core, "adopt"> = {
    adopt(table, keysAndValues, count) {
      const key = keySize(table);
      const stride = key + valueSize(table);
      for (let at = 0; at < count * stride; at += stride) {
        elements.push({
          table,
          key: keysAndValues.slice(at, at + key),
          value: keysAndValues.slice(at + key, at + stride),
        });
      }
    },
  };
  adoptElements(socket, core as Core, () => {});
  return elements;
}
