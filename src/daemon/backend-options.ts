/** Derives the options of a backend's fixed rules from the configuration and the machine. */
import type { Backend } from "../backend/backend.ts";
import type { LocalDetector, SkeletonOptions } from "../backend/skeleton-options.ts";
import type { Config } from "../config/config.ts";
import { hostFacts } from "../host/host-facts.ts";
import { isLiberal, resolveDropInvalid } from "../host/invalid-packets.ts";
import type { Cidr } from "../net/address.ts";

/** Reports whether node ports must answer on loopback addresses, which requires route_localnet. */
export function needsRouteLocalnet(
  { capabilities }: Pick<Backend, "capabilities">,
  config: Config,
): boolean {
  return capabilities.localhostNodePorts && config.localhostNodePorts;
}

/**
 * Returns the options of the rules. It reads the kernel version, and whether the kernel treats late
 * packets as invalid.
 */
export function skeletonOptions(config: Config, podCidrs: readonly Cidr[]): SkeletonOptions {
  const { masqueradeBit, masqueradeAll, counters, conntrack, localhostNodePorts } = config;
  const dropInvalid = resolveDropInvalid(
    config.dropInvalid,
    hostFacts().kernelRelease,
    conntrack.tcpBeLiberal || isLiberal(),
  );
  const detector = detectorOf(config, podCidrs);
  return { masqueradeBit, masqueradeAll, dropInvalid, counters, localhostNodePorts, detector };
}

/**
 * Reports whether local pods are detected by this node's pod ranges. If so, the rules depend on the
 * Node object.
 */
export function usesPodCidrs({ detectLocal }: Pick<Config, "detectLocal">): boolean {
  return detectLocal.mode === "NodeCIDR";
}

/** As in kube-proxy, only the first range of each family counts. */
function detectorOf(config: Config, podCidrs: readonly Cidr[]): LocalDetector {
  const { mode, bridgeInterface, interfaceNamePrefix } = config.detectLocal;
  if (mode === "BridgeInterface")
    return { kind: "interface", name: bridgeInterface, prefix: false };
  if (mode === "InterfaceNamePrefix") {
    return { kind: "interface", name: interfaceNamePrefix, prefix: true };
  }
  const cidrs = usesPodCidrs(config) ? podCidrs : config.clusterCIDRs;
  const ipv4 = cidrs.find(({ family }) => family === 4);
  const ipv6 = cidrs.find(({ family }) => family === 6);
  return { kind: "cidr", ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) };
}
