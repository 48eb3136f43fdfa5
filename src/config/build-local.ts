/** How pods are told from everybody else. */

import type { Cidr } from "../net/address.ts";
import { parseCidr } from "../net/address.ts";
import type { PathOf } from "./all-fields.ts";
import type { Config, DetectLocalMode } from "./config.ts";
import type { Settings } from "./settings.ts";

const DETECT_LOCAL_MODES: readonly DetectLocalMode[] = [
  "ClusterCIDR",
  "NodeCIDR",
  "BridgeInterface",
  "InterfaceNamePrefix",
];

export function localOf(settings: Settings): Pick<Config, "detectLocal" | "clusterCIDRs"> {
  const mode = settings.oneOf("detectLocalMode", DETECT_LOCAL_MODES);
  return {
    detectLocal: {
      mode,
      bridgeInterface:
        mode === "BridgeInterface"
          ? interfaceName(settings, "detectLocal.bridgeInterface", mode)
          : "",
      interfaceNamePrefix:
        mode === "InterfaceNamePrefix"
          ? interfaceName(settings, "detectLocal.interfaceNamePrefix", mode)
          : "",
    },
    clusterCIDRs: mode === "ClusterCIDR" ? clusterCidrs(settings) : [],
  };
}

function clusterCidrs(settings: Settings): readonly Cidr[] {
  const text = settings.get("clusterCIDR");
  if (text === "") return [];
  const cidrs = text.split(",").map((part) => parseCidr(part.trim()));
  const known = cidrs.filter((cidr) => cidr !== undefined);
  if (known.length < cidrs.length) {
    settings.fault("clusterCIDR", "must be CIDRs such as 10.0.0.0/8", text);
  } else if (new Set(known.map(({ family }) => family)).size < known.length) {
    settings.fault("clusterCIDR", "must be one CIDR, or one for each family", text);
  }
  return known;
}

function interfaceName(settings: Settings, path: PathOf<"string">, mode: DetectLocalMode): string {
  const name = settings.get(path);
  if (name === "") settings.fault(path, `must be set in mode ${mode}`, name);
  // IFNAMSIZ is 16 with the closing zero byte.
  else if (name.length > 15) {
    settings.fault(path, "must be at most 15 characters, as interface names are", name);
  }
  return name;
}
