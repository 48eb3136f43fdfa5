/** Names the fields of packets in nft's syntax. */
import type { Family } from "../../net/address.ts";

/** nft's expressions for addresses and ports, by family. */
export const headerText = (family: Family) => {
  const ip = family === 4 ? "ip" : "ip6";
  return {
    nfproto: `meta nfproto ipv${family}`,
    saddr: `${ip} saddr`,
    daddr: `${ip} daddr`,
    frontend: `${ip} daddr . meta l4proto . th dport`,
    port: "meta l4proto . th dport",
    original: `ct original ${ip} daddr`,
    originalPort: "meta l4proto . ct original proto-dst",
  };
};
