/** Which backend serves: the one the configuration names, or the best one that this node can do. */
import type { Backend } from "../backend/backend.ts";
import type { LocalDetector, SkeletonOptions } from "../backend/skeleton-options.ts";
import { type ErrorCode, rethrowDefect, SluiceError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import { hostFacts } from "../host/host-facts.ts";
import { isLiberal, resolveDropInvalid } from "../host/invalid-packets.ts";
import type { Cidr } from "../net/address.ts";
import { createNftablesBackend } from "../nftables/nftables-backend.ts";

/** What another backend may do without. */
const CANNOT_HERE: readonly ErrorCode[] = ["KERNEL_UNSUPPORTED", "NETLINK_SOCKET", "TOOL_FAILED"];

/**
 * A backend that has tried what it needs of the kernel and of the machine. In mode auto nftables
 * comes first; why it is not used is logged.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED, NETLINK_SOCKET, TOOL_FAILED
 */
export async function prepareBackend(config: Config, root: Logger): Promise<Backend> {
  const log = root.from("choose-backend.ts");
  const options = skeletonOptions(config, []);
  if (config.mode === "iptables") return await prepareIptables(options, log);
  try {
    return prepareNftables(options);
  } catch (thrown) {
    rethrowDefect(thrown);
    if (!CANNOT_HERE.includes(thrown.code)) throw thrown;
    if (config.mode === "nftables") {
      const message = `${thrown.message}; mode iptables or auto may do here`;
      throw new SluiceError(thrown.code, message, thrown.subject, { cause: thrown });
    }
    log.warn("Serving with iptables, because this node cannot do nftables", {
      code: thrown.code,
      err: thrown.message,
    });
    return await prepareIptables(options, log).catch((second: unknown) => {
      rethrowDefect(second);
      const message = `${second.message}; and nftables, which would be better: ${thrown.message}`;
      throw new SluiceError(second.code, message, second.subject, { cause: second });
    });
  }
}

function prepareNftables(options: SkeletonOptions): Backend {
  const backend = createNftablesBackend(options);
  try {
    backend.probe();
    return backend;
  } catch (error) {
    backend.close();
    throw error;
  }
}

async function prepareIptables(options: SkeletonOptions, log: Logger): Promise<Backend> {
  // Where nftables serves, nobody needs it.
  const { createIptablesBackend } = await import("../iptables/iptables-backend.ts");
  const backend = createIptablesBackend(options, { log });
  try {
    await backend.probe();
    for (const fact of backend.facts()) {
      if (backend.capabilities.unsupported.includes(fact)) log.warn(fact);
      else log.info(fact);
    }
    return backend;
  } catch (error) {
    backend.close();
    throw error;
  }
}

/** Node ports are to answer on loopback addresses, which takes route_localnet. */
export function wantsLocalnet(
  { capabilities }: Pick<Backend, "capabilities">,
  config: Config,
): boolean {
  return capabilities.localhostNodePorts && config.localhostNodePorts;
}

/**
 * What the rules depend on. Reads what the kernel is, and whether it takes late packets for
 * invalid.
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

/** Local pods are known by the ranges of this node's pods, so the rules depend on the Node. */
export function usesPodCidrs({ detectLocal }: Pick<Config, "detectLocal">): boolean {
  return detectLocal.mode === "NodeCIDR";
}

/** As upstream, only the first range of each family counts. */
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
