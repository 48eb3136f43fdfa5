/** Generates random Services that often conflict, and random endpoints for them. */
import fc from "fast-check";
import type { ChoiceText, NodeText, ServiceText } from "./plan-text.ts";

export const ADDRESSES = ["10.96.0.1", "10.96.0.2", "10.96.0.3", "fd00::1", "fd00::2"];
const ENDPOINTS = ["10.1.0.5:80", "10.1.0.6:80", "[fd00:1::5]:80", "[fd00:1::6]:80"];
const RANGES = ["10.0.0.0/8", "10.96.0.0/16", "192.168.0.0/24", "0.0.0.0/0", "fd00::/8", "::/0"];
const PORTS = ["a tcp 80 30080", "b tcp 81 30081", "c udp 80 30080", "a tcp 81", "d sctp 80 30080"];

export const arbitraryText: fc.Arbitrary<ServiceText> = fc.record({
  created: fc.integer({ min: 1, max: 3 }),
  type: fc.constantFrom("ClusterIP", "NodePort", "LoadBalancer"),
  clusterIPs: fc.subarray(ADDRESSES, { minLength: 1 }),
  externalIPs: fc.subarray(ADDRESSES),
  vips: fc.subarray(ADDRESSES),
  sourceRanges: fc.subarray(RANGES),
  ports: fc.subarray(PORTS),
  eTP: fc.constantFrom("Local", "Cluster"),
  iTP: fc.constantFrom("Local", "Cluster"),
  affinity: fc.constantFrom(0, 60),
});
/** Selection never leaves the cluster's choice empty if there is a local one. */
export const arbitraryChoice: fc.Arbitrary<ChoiceText> = fc
  .record({ cluster: fc.subarray(ENDPOINTS), local: fc.subarray(ENDPOINTS), usable: fc.boolean() })
  .map(({ cluster, local, usable }) => {
    const missing = (v6: boolean) =>
      cluster.some((text) => text.startsWith("[") === v6)
        ? []
        : local.filter((text) => text.startsWith("[") === v6);
    const all = [...cluster, ...missing(false), ...missing(true)];
    return usable ? { cluster: all, local, usable } : { cluster: all, local };
  });

export const NODE: NodeText = {
  primary: ["192.168.0.10", "fd00:9::1"],
  nodePortRanges: ["192.168.0.0/24", "fd00:9::1/128"],
  serviceCidrs: ["10.96.0.0/12"],
};
