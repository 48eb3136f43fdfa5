/** Which backend serves, made from the configuration. */
import type { Backend, LocalDetector, SkeletonOptions } from "./apply/backend.ts";
import { createNftablesBackend } from "./apply/nftables/backend.ts";
import type { Config } from "./config.ts";
import { hostFacts } from "./host/facts.ts";
import { isLiberal, resolveDropInvalid } from "./host/invalid-packets.ts";
import type { Cidr } from "./types.ts";

/** `podCidrs` are the Node's, and matter in NodeCIDR mode only. Touches nothing in the kernel yet. */
export function createBackend(config: Config, podCidrs: readonly Cidr[]): Backend {
  return createNftablesBackend(skeletonOptions(config, podCidrs));
}

/** What the rules depend on. Reads what the kernel is, and whether it takes late packets for invalid. */
export function skeletonOptions(config: Config, podCidrs: readonly Cidr[]): SkeletonOptions {
  const { masqueradeBit, masqueradeAll, counters, conntrack } = config;
  const dropInvalid = resolveDropInvalid(
    config.dropInvalid,
    hostFacts().kernelRelease,
    conntrack.tcpBeLiberal || isLiberal(),
  );
  const detector = detectorOf(config, podCidrs);
  return { masqueradeBit, masqueradeAll, dropInvalid, counters, detector };
}

/** As upstream, only the first range of each family counts. */
function detectorOf(config: Config, podCidrs: readonly Cidr[]): LocalDetector {
  const { mode, bridgeInterface, interfaceNamePrefix } = config.detectLocal;
  if (mode === "BridgeInterface")
    return { kind: "interface", name: bridgeInterface, prefix: false };
  if (mode === "InterfaceNamePrefix") {
    return { kind: "interface", name: interfaceNamePrefix, prefix: true };
  }
  const cidrs = mode === "NodeCIDR" ? podCidrs : config.clusterCIDRs;
  const ipv4 = cidrs.find(({ family }) => family === 4);
  const ipv6 = cidrs.find(({ family }) => family === 6);
  return { kind: "cidr", ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}
