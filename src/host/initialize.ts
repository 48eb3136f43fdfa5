/** --init-only: all that takes rights and can be done ahead of a run that has fewer. */
import type { Config } from "../config/config.ts";
import type { HostSettings } from "./host-settings.ts";

/** What there is to say when it is done: upstream's words, which scripts look for. */
export const INITIALIZED = "System initialized and --init-only specified";

/**
 * Tries what the rules need of the kernel, which loads its modules, and sets the sysctls. `probe` returns what is going
 * to serve. Returns what to log.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED: as `probe` does
 */
export async function initializeHost(
  config: Pick<Config, "conntrack" | "localhostNodePorts">,
  settings: HostSettings,
  probe: () => Promise<"nftables" | "iptables">,
): Promise<string> {
  const served = await probe();
  settings.tuneConntrack(config.conntrack);
  settings.routeLocalnet(served === "iptables" && config.localhostNodePorts);
  return INITIALIZED;
}
