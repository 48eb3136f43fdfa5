/**
 * Defines the topology and the addresses of a world. The node under test is in the middle, so that
 * every packet and every reply passes it. The second node and the outside reach each other through
 * it.
 *
 *   a1 a2 a3 ── node1 ── node2 ── b1 b2
 *                 │
 *              outside
 *
 * Each world has its own namespaces, so all worlds use the same addresses.
 */
import type { Family } from "../../src/net/address.ts";

export type { Family };
export const FAMILIES: readonly Family[] = [4, 6];

export type Pod = "a1" | "a2" | "a3" | "b1" | "b2";
export type Host = "node1" | "node2" | "outside";
export type Location = Pod | Host;

export const PODS: readonly Pod[] = ["a1", "a2", "a3", "b1", "b2"];
export const HOSTS: readonly Host[] = ["node1", "node2", "outside"];

/** Ports on which every pod and both nodes answer, by TCP and UDP. */
export const SERVER_PORTS: readonly number[] = [8080, 8081, 9090];

/** The node that a pod runs on. */
export function nodeOf(pod: Pod): "node1" | "node2" {
  return pod.startsWith("a") ? "node1" : "node2";
}

const POD_HOST: Readonly<Record<Pod, number>> = { a1: 11, a2: 12, a3: 13, b1: 21, b2: 22 };

/** Last byte of a pod's addresses. */
export function hostNumber(pod: Pod): number {
  return POD_HOST[pod];
}

/** The address by which others know a pod or a host. */
export function addressOf(place: Location, family: Family): string {
  switch (place) {
    case "node1":
      return family === 4 ? "192.0.2.1" : "2001:db8:1::1";
    case "node2":
      return family === 4 ? "192.0.2.2" : "2001:db8:1::2";
    case "outside":
      return family === 4 ? "198.51.100.10" : "2001:db8:2::10";
    default: {
      const net = nodeOf(place) === "node1" ? 1 : 2;
      const host = POD_HOST[place];
      return family === 4 ? `10.244.${net}.${host}` : `fd00:10:244:${net}::${host}`;
    }
  }
}

/** A second source address of the outside client. */
export const OUTSIDE_SECOND = { 4: "198.51.100.20", 6: "2001:db8:2::20" } as const;

/** The second address of the node under test, on its outside interface. */
export const NODE1_SECOND = { 4: "198.51.100.1", 6: "2001:db8:2::1" } as const;

export const CLUSTER_CIDR = { 4: "10.244.0.0/16", 6: "fd00:10:244::/48" } as const;
export const NODE1_POD_CIDR = { 4: "10.244.1.0/24", 6: "fd00:10:244:1::/64" } as const;
export const SERVICE_CIDR = { 4: "10.96.0.0/16", 6: "fd00:10:96::/112" } as const;

/** The clusterIP with this number, up to 60,000. */
export function clusterIp(number: number, family: Family): string {
  return numbered(number, family === 4 ? "10.96" : "fd00:10:96:");
}

/** The load balancer address with this number; no interface has it. */
export function vip(number: number, family: Family): string {
  return numbered(number, family === 4 ? "198.19" : "2001:db8:3:");
}

/** The external address with this number; no interface has it. */
export function externalIp(number: number, family: Family): string {
  return numbered(number, family === 4 ? "198.18" : "2001:db8:4:");
}

function numbered(number: number, prefix: string): string {
  return prefix.endsWith(":")
    ? `${prefix}:${(number + 0x1000).toString(16)}`
    : `${prefix}.${number >> 8}.${number & 255}`;
}

/** Interface of the node under test that leads to a pod; the names of all begin like this. */
export const POD_INTERFACE_PREFIX = "pod-";
/** The bridge of a world with its pods on one bridge. */
export const BRIDGE = "cbr0";
