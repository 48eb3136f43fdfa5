/** Removes our tables from the kernel. */
import { refusalError } from "../netlink/netlink-errors.ts";
import type { Netlink } from "../netlink/socket.ts";
import { readTable } from "./read/read-objects.ts";
import { isSluiceTable, writeDeleteTable } from "./ruleset/install.ts";
import { Batch } from "./wire/message-batch.ts";
import { STAND_IN, TABLE } from "./wire/object-names.ts";

/**
 * Tells from the table's comment who created it.
 * @throws SluiceError NETLINK_REFUSED, PERMISSION_DENIED, NETLINK_SOCKET
 */
export function ownerOfTable(socket: Netlink, table = TABLE): "ours" | "absent" | "foreign" {
  const found = readTable(socket, table);
  if (found === undefined) return "absent";
  return isSluiceTable(found.comment) ? "ours" : "foreign";
}

/**
 * Removes our table, and the stand-in that a killed process may have left. `foreign`: another
 * program owns the table, and it stays. Throws like `ownerOfTable`.
 */
export function removeTable(socket: Netlink): "removed" | "absent" | "foreign" {
  const owner = ownerOfTable(socket);
  const standIn = ownerOfTable(socket, STAND_IN);
  if (owner !== "ours" && standIn !== "ours") return owner;
  const batch = new Batch();
  batch.begin();
  if (owner === "ours") writeDeleteTable(batch);
  if (standIn === "ours") writeDeleteTable(batch, STAND_IN);
  const refusal = batch.send(socket).refusals[0];
  if (refusal === undefined) return owner === "foreign" ? owner : "removed";
  throw refusalError(`delete table inet ${TABLE}`, refusal);
}
