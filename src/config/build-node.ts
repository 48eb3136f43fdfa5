/** What is done to this node and to this process, and who it is. */
import type { Config } from "./config.ts";
import { INT32_MAX, type Settings } from "./settings.ts";

type Node = Pick<
  Config,
  "hostnameOverride" | "conntrack" | "dropInvalid" | "oomScoreAdj" | "removeKubeProxyRules"
>;

export function nodeOf(settings: Settings): Node {
  return {
    hostnameOverride: hostname(settings),
    conntrack: {
      maxPerCore: settings.integer("conntrack.maxPerCore", 0, INT32_MAX),
      min: settings.integer("conntrack.min", 0, INT32_MAX),
      tcpBeLiberal: settings.get("conntrack.tcpBeLiberal"),
      tcpEstablishedMs: settings.timeout("conntrack.tcpEstablishedTimeout"),
      tcpCloseWaitMs: settings.timeout("conntrack.tcpCloseWaitTimeout"),
      udpMs: settings.timeout("conntrack.udpTimeout"),
      udpStreamMs: settings.timeout("conntrack.udpStreamTimeout"),
    },
    dropInvalid: settings.oneOf("sluice.dropInvalidPackets", ["auto", "always", "never"]),
    oomScoreAdj: settings.integer("oomScoreAdj", -1000, 1000),
    removeKubeProxyRules: settings.get("sluice.removeKubeProxyRules"),
  };
}

function hostname(settings: Settings): string {
  const value = settings.get("hostnameOverride");
  const name = value.trim().toLowerCase();
  if (name === "" && value !== "") settings.fault("hostnameOverride", "must not be blank", value);
  return name;
}
