/**
 * Checks for network devices by name over rtnetlink, because /sys may belong to another network
 * namespace.
 */

import { ENODEV } from "../os/posix.ts";
import {
  IFINFOMSG_LEN,
  IFLA_IFNAME,
  NETLINK_ROUTE,
  NLM_F_REQUEST,
  RTM_GETLINK,
} from "./constants.ts";
import { MessageWriter } from "./message.ts";
import { refusalError } from "./netlink-errors.ts";
import { type Netlink, NetlinkSocket } from "./socket.ts";

/**
 * Returns the names that belong to a device.
 * @throws SluiceError NETLINK_SOCKET, NETLINK_REFUSED
 */
export function filterExistingLinks(
  names: readonly string[],
  socket: Netlink = new NetlinkSocket(NETLINK_ROUTE),
): string[] {
  try {
    return names.filter((name) => {
      const writer = new MessageWriter(128);
      const start = writer.begin(RTM_GETLINK, NLM_F_REQUEST, 1, IFINFOMSG_LEN);
      writer.text(IFLA_IFNAME, name);
      writer.end(start);
      const refusal = socket.send(writer.bytes, writer.length).refusals[0];
      if (refusal === undefined) return true;
      if (refusal.errno === ENODEV) return false;
      throw refusalError(`look up device ${name}`, refusal);
    });
  } finally {
    socket.close();
  }
}
