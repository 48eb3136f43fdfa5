/** The rules that a stopped kube-proxy left on node1 of a world. */

import { runAsync } from "../../harness/commands.ts";
import {
  addressOf,
  CLUSTER_CIDR,
  clusterIp,
  FAMILIES,
  type Family,
  type Pod,
} from "../../harness/netns/addresses.ts";
import type { Target } from "../../harness/netns/connections.ts";
import type { World } from "../../harness/netns/world.ts";
import { nodePort } from "../../harness/netns/world-objects.ts";
import { savedRules, savedTable } from "./kube-proxy-ruleset.ts";

/** The endpoints of its Service, `web`, number 1. */
export const PODS: readonly Pod[] = ["a1", "a2", "b1"];

/** The clients, and the frontends that they use. */
export const TARGETS: readonly Target[] = FAMILIES.flatMap((family) => [
  { from: "a3", to: "clusterIP", number: 1, family },
  { from: "outside", to: "clusterIP", number: 1, family },
  { from: "outside", to: "node port", number: 1, family },
]);

/** `mode`: `nftables`, `iptables-nft` or `iptables-legacy`. */
export async function putRules(world: World, mode: string): Promise<void> {
  for (const family of FAMILIES) {
    const cidr = CLUSTER_CIDR[family];
    const [command, text] =
      mode === "nftables"
        ? [["nft", "-f", "-"], savedTable(known(family), family, cidr)]
        : [[`${toolOf(mode, family)}-restore`, "--noflush"], savedRules([known(family)], cidr)];
    await runAsync(world.inside("node1", command), text);
  }
}

/** `ip6tables-nft` */
export function toolOf(mode: string, family: Family): string {
  return family === 4 ? mode : mode.replace("iptables", "ip6tables");
}

/** The Service as kube-proxy knew it. */
function known(family: Family) {
  const endpoints = PODS.map((pod) => {
    const address = addressOf(pod, family);
    return family === 4 ? `${address}:8080` : `[${address}]:8080`;
  });
  return { name: "web", clusterIp: clusterIp(1, family), nodePort: nodePort(1), endpoints };
}
