/** Reads the sets of frontends that could not remember a new client. Packets fill these sets. */
import type { FullFrontend } from "../../backend/parts.ts";
import { tableId } from "../../model/tables.ts";
import type { Netlink } from "../../netlink/socket.ts";
import { notRememberedSetName } from "../wire/object-names.ts";
import { type ReadElement, readElements } from "./read-elements.ts";

/** Reads all four sets. They hold at most one element for each frontend with session affinity. */
export function readFullFrontends(socket: Netlink): readonly FullFrontend[] {
  const found: FullFrontend[] = [];
  for (const family of [4, 6] as const) {
    for (const nodePort of [false, true]) {
      const table = tableId(nodePort ? "nodeports-learn" : "learn", family);
      const before = found.length;
      const restart = () => {
        found.length = before;
      };
      const each = ({ bytes, key, keyLength, packets }: ReadElement) =>
        found.push({
          table,
          key: bytes.slice(key, key + keyLength),
          connections: Number(packets),
        });
      readElements(socket, notRememberedSetName(nodePort, family), restart, each);
    }
  }
  return found;
}
