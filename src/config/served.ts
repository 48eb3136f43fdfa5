/** What a configuration says in vain, or other than kube-proxy, because of the mode that serves. */
import type { Config } from "./config.ts";
import type { Note } from "./note.ts";

/**
 * For the log. Of mode auto this is known when the kernel has been asked, and then for whoever asked it to say; of the
 * others it is among the notes of the configuration.
 */
export function remarksOnMode(
  { counters, localhostNodePorts }: Pick<Config, "counters" | "localhostNodePorts">,
  served: "nftables" | "iptables",
): Note[] {
  if (served === "iptables" && counters) {
    const message =
      "Connections are not counted in mode iptables, so sluice.counters has no effect, nor have the metrics that rest on it";
    return [{ severity: "info", message, fields: { mode: served } }];
  }
  if (served === "nftables" && localhostNodePorts) {
    const message =
      "Node ports are not served on loopback: iptables.localhostNodePorts counts in mode iptables only";
    return [{ severity: "warn", message, fields: { mode: served } }];
  }
  return [];
}
