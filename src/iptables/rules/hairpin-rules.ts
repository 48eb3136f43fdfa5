/**
 * Builds the rules that masquerade a pod that reaches itself through a Service. Otherwise the pod
 * would see its own address as the source of the connection, and drop it. Pure.
 *
 * The source then equals the destination. iptables cannot compare two addresses, but its masks can
 * select a single bit of each. So two rules for each bit return if the addresses differ in it. The
 * rules need no list of this node's endpoints, which an EndpointSlice may describe without
 * `nodeName`. They start with the last bit: the addresses of two pods mostly differ in one of the
 * last, so a packet passes about four rules.
 *
 * The node may reach itself without them, and packets to `lo` do not come here: see the chain of
 * the same name in nftables.
 */
import { ADDRESS_BYTES, type Family, printAddress } from "../../net/address.ts";
import { type ChainText, joinRules } from "./rule-text.ts";

/** `masquerade` is the rule for a packet with two equal addresses. */
export function hairpinRules(family: Family, masquerade: string): ChainText {
  const rules: string[] = [];
  for (let bit = ADDRESS_BYTES[family] * 8 - 1; bit >= 0; bit--) {
    const one = printBit(family, bit);
    rules.push(`-s ${one} ! -d ${one} -j RETURN`, `! -s ${one} -d ${one} -j RETURN`);
  }
  return joinRules(...rules, masquerade);
}

/** Matches addresses with this bit: `0.0.0.1/0.0.0.1`. Bit 0 is the first of an address. */
function printBit(family: Family, bit: number): string {
  const bytes = new Uint8Array(ADDRESS_BYTES[family]);
  bytes[bit >> 3] = 128 >> (bit & 7);
  const address = printAsTools(bytes);
  return `${address}/${bit === 0 ? 1 : address}`;
}

/** The C library prints `::1.0.0.0` if only the last 4 bytes are not 0, and one of the first 2. */
function printAsTools(bytes: Uint8Array): string {
  const embedsIPv4 = bytes.length === 16 && (bytes[12] !== 0 || bytes[13] !== 0);
  return embedsIPv4 ? `::${printAddress(bytes.subarray(12))}` : printAddress(bytes);
}
