/** --init-only: all that takes rights and can be done ahead of a run that has fewer. */
import type { Config } from "../config.ts";
import type { HostSettings } from "./host-settings.ts";

/** What there is to say when it is done: upstream's words, which scripts look for. */
export const INITIALIZED = "System initialized and --init-only specified";

/**
 * Tries what the rules need of the kernel, which loads its modules, and sets the sysctls. Returns what to log.
 * @throws SluiceError KERNEL_UNSUPPORTED, PERMISSION_DENIED: as `probe` does
 */
export async function initializeHost(
  config: Pick<Config, "conntrack">,
  settings: HostSettings,
  probe: () => void | Promise<void>,
): Promise<string> {
  await probe();
  settings.tuneConntrack(config.conntrack);
  return INITIALIZED;
}
