/** Removes the table from the kernel if Sluice created it. */
import { refusalError } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readTable } from "./read/read-objects.ts";
import { isSluiceTable, writeDeleteTable } from "./ruleset/install.ts";
import { Batch } from "./wire/message-batch.ts";
import { TABLE } from "./wire/object-names.ts";

/**
 * Tells from the table's comment who created it.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
 */
export function ownerOfTable(socket: Netlink): "ours" | "absent" | "foreign" {
  const found = readTable(socket);
  if (found === undefined) return "absent";
  return isSluiceTable(found.comment) ? "ours" : "foreign";
}

/**
 * Removes our table. `foreign`: another program owns the table, and it stays. Throws like
 * `ownerOfTable`.
 */
export function removeTable(socket: Netlink): "removed" | "absent" | "foreign" {
  const owner = ownerOfTable(socket);
  if (owner !== "ours") return owner;
  const batch = new Batch();
  batch.begin();
  writeDeleteTable(batch);
  const refusal = batch.send(socket).refusals[0];
  if (refusal === undefined) return "removed";
  throw refusalError(`delete table inet ${TABLE}`, refusal);
}
