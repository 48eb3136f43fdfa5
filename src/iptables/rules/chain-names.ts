/** Names of chains that are made up: those of kubernetes pkg/proxy/iptables/proxier.go, and those of the trees. */
import { createHash } from "node:crypto";

/** XT_EXTENSION_MAXNAMELEN less its NUL (linux/netfilter/x_tables.h). */
export const CHAIN_NAME_MAX = 28;

/** `KUBE-SVC-`: any endpoint. `KUBE-SVL-`: those of this node. `KUBE-EXT-`: from outside. `KUBE-FW-`: source ranges. */
export type PortChainPrefix = "KUBE-SVC-" | "KUBE-SVL-" | "KUBE-EXT-" | "KUBE-FW-";

/**
 * portProtoHash and servicePortEndpointChainName: of `namespace/name:port`, the protocol in lower case, and the endpoint
 * as `address:port` for a chain of an endpoint.
 */
export function portHash(text: string): string {
  return base32(createHash("sha256").update(text).digest(), HASH_CHARACTERS);
}

/** The name of a chain of a tree; `what` says what it holds, or is hashed where that is too long. */
export function treeChainName(
  prefix: "KUBE-SVC-" | "KUBE-SEP-" | "KUBE-EXT-",
  what: string,
): string {
  const name = prefix + what;
  return name.length <= CHAIN_NAME_MAX ? name : prefix + portHash(what);
}

const HASH_CHARACTERS = 16;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 4648, the first characters. */
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
