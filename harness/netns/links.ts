/** Builds the `ip -batch` commands that create the links, addresses and routes of a world. */
import {
  addressOf,
  BRIDGE,
  CLUSTER_CIDR,
  FAMILIES,
  type Family,
  hostNumber,
  type Location,
  NODE1_SECOND,
  nodeOf,
  OUTSIDE_SECOND,
  POD_INTERFACE_PREFIX,
  PODS,
  type Pod,
} from "./addresses.ts";

/** How pods are connected to their node: each by its own link, or all by a bridge. */
export type Attachment = "links" | "bridge";

const GATEWAY: Readonly<Record<Family, string>> = { 4: "169.254.1.1", 6: "fe80::1" };
// Fixed hardware addresses and permanent neighbors avoid lookups, which take time or get lost.
const GATEWAY_MAC = "ee:ee:ee:ee:ee:ee";

const full = (family: Family): string => (family === 4 ? "/32" : "/128");
const lan = (family: Family): string => (family === 4 ? "/24" : "/64");
const macOf = (pod: Pod): string => `02:00:00:00:00:${hostNumber(pod)}`;

/** The sysctls of /proc/sys/net for a namespace. Set them before it has links. */
export function sysctls(router: boolean): Record<string, string> {
  const values: Record<string, string> = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/icmp_ratelimit": "0",
    "ipv6/icmp/ratelimit": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
  };
  if (router) {
    values["ipv4/ip_forward"] = "1";
    values["ipv6/conf/all/forwarding"] = "1";
  }
  return values;
}

/** The links between places, created from the node under test and from the second node. */
export function nodeLinks(
  node: "node1" | "node2",
  namespaceOf: (place: Location) => string,
  attachment: Attachment,
): string[] {
  const lines = ["link set lo up"];
  if (node === "node1") {
    lines.push(`link add eth0 type veth peer name eth0 netns ${namespaceOf("node2")}`);
    lines.push(`link add eth1 type veth peer name eth0 netns ${namespaceOf("outside")}`);
  }
  const bridge = attachment === "bridge" && node === "node1";
  if (bridge) {
    lines.push(`link add ${BRIDGE} address ${GATEWAY_MAC} type bridge`, `link set ${BRIDGE} up`);
  }
  for (const pod of PODS.filter((each) => nodeOf(each) === node)) {
    const device = `${POD_INTERFACE_PREFIX}${pod}`;
    const mac = bridge ? "" : `address ${GATEWAY_MAC} `;
    const peer = `peer name eth0 address ${macOf(pod)} netns ${namespaceOf(pod)}`;
    lines.push(`link add ${device} ${mac}type veth ${peer}`);
    // As bridge plugins do, so that packets of a pod to itself leave by the port they came from.
    if (bridge) {
      lines.push(`link set ${device} master ${BRIDGE}`);
      lines.push(`link set ${device} type bridge_slave hairpin on`);
    }
    lines.push(`link set ${device} up`);
  }
  return lines;
}

/** Addresses, neighbors and routes of a place with existing links. */
export function addresses(place: Location, attachment: Attachment): string[] {
  switch (place) {
    case "node1":
      return node1(attachment);
    case "node2":
      return [
        "link set eth0 up",
        ...FAMILIES.flatMap((family) => [
          `addr add ${addressOf("node2", family)}${lan(family)} dev eth0${nodad(family)}`,
          `route add default via ${addressOf("node1", family)}`,
        ]),
        ...podRoutes("node2", "links"),
      ];
    case "outside":
      return [
        "link set lo up",
        "link set eth0 up",
        ...FAMILIES.flatMap((family) => [
          `addr add ${addressOf("outside", family)}${lan(family)} dev eth0${nodad(family)}`,
          // Deprecated, so that only programs that ask for it use it.
          `addr add ${OUTSIDE_SECOND[family]}${lan(family)} dev eth0${nodad(family)}${family === 6 ? " preferred_lft 0" : ""}`,
          `route add default via ${NODE1_SECOND[family]}`,
        ]),
      ];
    default:
      return pod(place);
  }
}

function node1(attachment: Attachment): string[] {
  const lines = ["link set eth0 up", "link set eth1 up"];
  for (const family of FAMILIES) {
    const own = addressOf("node1", family);
    lines.push(
      `addr add ${own}${lan(family)} dev eth0${nodad(family)}`,
      `addr add ${NODE1_SECOND[family]}${lan(family)} dev eth1${nodad(family)}`,
      // The outside does not forward, so a packet that no rule translates ends there without an
      // answer.
      `route add default via ${addressOf("outside", family)} dev eth1 src ${own}`,
      `route add ${podNet(2, family)} via ${addressOf("node2", family)} src ${own}`,
    );
  }
  return [...lines, ...podRoutes("node1", attachment)];
}

function podRoutes(node: "node1" | "node2", attachment: Attachment): string[] {
  return PODS.filter((each) => nodeOf(each) === node).flatMap((each) => {
    const device = attachment === "bridge" ? BRIDGE : `${POD_INTERFACE_PREFIX}${each}`;
    return FAMILIES.flatMap((family) => {
      const address = addressOf(each, family);
      return [
        `route add ${address}${full(family)} dev ${device} src ${addressOf(node, family)}`,
        `neigh replace ${address} lladdr ${macOf(each)} dev ${device} nud permanent`,
      ];
    });
  });
}

function pod(place: Pod): string[] {
  return [
    "link set lo up",
    "link set eth0 up",
    ...FAMILIES.flatMap((family) => [
      `addr add ${addressOf(place, family)}${full(family)} dev eth0${nodad(family)}`,
      `neigh replace ${GATEWAY[family]} lladdr ${GATEWAY_MAC} dev eth0 nud permanent`,
      `route add default via ${GATEWAY[family]} dev eth0 onlink`,
    ]),
  ];
}

function podNet(node: 1 | 2, family: Family): string {
  return family === 4
    ? CLUSTER_CIDR[4].replace("0.0/16", `${node}.0/24`)
    : CLUSTER_CIDR[6].replace("::/48", `:${node}::/64`);
}

function nodad(family: Family): string {
  return family === 6 ? " nodad" : "";
}
