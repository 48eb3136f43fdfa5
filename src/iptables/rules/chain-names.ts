/**
 * Defines the names of chains that depend on Services: upstream's names
 * (kubernetes pkg/proxy/iptables/proxier.go) and the names in our trees.
 */
import { createHash } from "node:crypto";

/** XT_EXTENSION_MAXNAMELEN without the NUL (linux/netfilter/x_tables.h). */
export const CHAIN_NAME_MAX = 28;

/**
 * `KUBE-SVC-`: chooses any endpoint. `KUBE-SVL-`: chooses a local endpoint. `KUBE-EXT-`:
 * connections to external addresses and node ports. `KUBE-FW-`: checks source ranges.
 */
export type PortChainPrefix = "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-";

/**
 * Upstream's portProtoHash and servicePortEndpointChainName. `text` is `namespace/name:port` and
 * the protocol in lower case. For the chain of an endpoint, `address:port` follows.
 */
export function portHash(text: string): string {
  return base32(createHash("sha256").update(text).digest(), HASH_CHARACTERS);
}

/** The name of a chain in a tree: `prefix` and `what`, or a hash of `what` if it is too long. */
export function treeChainName(prefix: "KUBE-SVC-" | "KUBE-EXT-", what: string): string {
  const name = prefix + what;
  return name.length <= CHAIN_NAME_MAX ? name : prefix + portHash(what);
}

const HASH_CHARACTERS = 16;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** The first characters of RFC 4648 base32. */
function base32(bytes: Uint8Array, characters: number): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (let at = 0; text.length < characters; ) {
    if (bits < 5) {
      value = ((value << 8) | (bytes[at++] as number)) & 0xfff;
      bits += 8;
    }
    bits -= 5;
    text += ALPHABET[(value >> bits) & 31];
  }
  return text;
}
