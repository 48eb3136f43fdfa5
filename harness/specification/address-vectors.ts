/**
 * Lists addresses and ranges as texts, with the bytes that Go's netutils.ParseIPSloppy and
 * netutils.ParseCIDRSloppy (k8s.io/utils/net) parse from them. Sluice has two parsers, one in
 * TypeScript (src/net/address.ts) and one in the core (asm/ingest/text.ts). Both are tested with
 * these tables and with random texts.
 */
import fc from "fast-check";

/** The address in hex: 4 bytes for IPv4, 16 for IPv6. Undefined if Go refuses the text. */
export const ADDRESSES: readonly (readonly [string, string | undefined])[] = [
  ["10.1.2.3", "0a010203"],
  ["010.001.002.003", "0a010203"],
  ["010.000.0.08", "0a000008"],
  ["0000000000.0.0.1", "00000001"],
  ["255.255.255.255", "ffffffff"],
  ["256.0.0.1", undefined],
  ["10.0.0.256", undefined],
  ["10.1.2", undefined],
  ["10.1.2.3.4", undefined],
  ["10.1.2.3.", undefined],
  ["10.1.2.3 ", undefined],
  ["10..2.3", undefined],
  ["0x10.0.0.1", undefined],
  ["", undefined],
  ["None", undefined],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["1::", "00010000000000000000000000000000"],
  ["FD00:0:0:1::0:1", "fd000000000000010000000000000001"],
  ["2001:DB8::CB00:71FA", "20010db80000000000000000cb0071fa"],
  ["2001:db8:0:0:0:0:cb00:71fa", "20010db80000000000000000cb0071fa"],
  ["::ffff:10.1.2.3", "0a010203"],
  ["::FFFF:0A01:0203", "0a010203"],
  ["64:ff9b::192.0.2.1", "0064ff9b0000000000000000c0000201"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
  ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"],
  ["1:2:3:4:5:6:7:8::", undefined],
  ["1:2:3:4:5:6:7:8:9", undefined],
  ["1:2:3:4:5:6:7", undefined],
  ["1:2:3", undefined],
  ["1::2::3", undefined],
  [":1", undefined],
  ["1:", undefined],
  [":::", undefined],
  ["::12345", undefined],
  ["::000001", "00000000000000000000000000000001"],
  ["1:2:3:4:5:6:7:1.2.3.4", undefined],
  ["::1:2:3:4:5:6:1.2.3.4", undefined],
  ["1.2.3.4::", undefined],
  ["::1.2.3", undefined],
  ["fe80::1%eth0", undefined],
  ["[::1]", undefined],
  ["g::", undefined],
];

/** The range as `hex/prefix`, with its host bits cleared. Undefined if Go refuses the text. */
export const RANGES: readonly (readonly [string, string | undefined])[] = [
  ["10.1.2.3/8", "0a000000/8"],
  ["10.255.255.255/9", "0a800000/9"],
  ["10.1.2.3/32", "0a010203/32"],
  ["10.1.2.3/0", "00000000/0"],
  ["10.1.2.3/33", undefined],
  ["10.1.2.3/", undefined],
  ["10.1.2.3", undefined],
  ["10.1.2.3/8/8", undefined],
  ["10.1.2.3/-1", undefined],
  ["/8", undefined],
  ["a/8", undefined],
  ["2001:DB8:ffff::1/33", "20010db8800000000000000000000000/33"],
  ["fd00:1:2:3::4/56", "fd000001000200000000000000000000/56"],
  ["fd00::1/128", "fd000000000000000000000000000001/128"],
  ["::/0", "00000000000000000000000000000000/0"],
  ["::1/129", undefined],
  ["::/-1", undefined],
  // The prefix of an IPv4-mapped address counts from the start of the IPv6 address.
  ["::ffff:10.1.2.3/104", "0a000000/8"],
  ["::ffff:10.1.2.3/96", "00000000/0"],
  ["::ffff:10.1.2.3/90", "00000000000000000000ffc000000000/90"],
  ["::ffff:10.1.2.3/8", "00000000000000000000000000000000/8"],
];

/** Random texts of characters of addresses and ranges: noise, addresses, and faulty addresses. */
export function addressTexts(): fc.Arbitrary<string> {
  const characters = fc.constantFrom(..."0123456789abcdefABCDEFg:::...// %".split(""));
  const noise = fc.array(characters, { maxLength: 24 }).map((all) => all.join(""));
  const near = fc
    .tuple(fc.oneof(fc.ipV6(), fc.ipV4()), fc.nat(30), noise)
    .map(([text, at, other]) => text.slice(0, at) + other.slice(0, 2) + text.slice(at + 1));
  return fc.oneof(noise, near, fc.ipV6(), fc.ipV4());
}
