import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { assertProperty } from "../../../harness/property.ts";
import { hairpinRules } from "../../../src/iptables/rules/hairpin-rules.ts";
import { ADDRESS_BYTES, type Family, printAddress } from "../../../src/net/address.ts";
import { rulesetOf } from "./planned.ts";
import { Walk } from "./walk.ts";

const FAMILIES = [4, 6] as const;

/** The masks as the tools print them: a prefix length if possible, and an embedded IPv4 address. */
test.each([
  [4, "0.0.0.1/0.0.0.1", "128.0.0.0/1"],
  [6, "::1/::1", "8000::/1"],
  [6, "::8000/::8000", "4000::/4000::"],
  [6, "::0.1.0.0/::0.1.0.0", "::1:0:0/::1:0:0"],
  [6, "::128.0.0.0/::128.0.0.0", "::1:0:0:0/::1:0:0:0"],
] as const)("IPv%i: the rules of %s and %s", (family, ...bits) => {
  const rules = hairpinRules(family, "-j MASQUERADE").split("\n");
  expect(rules.length).toBe(ADDRESS_BYTES[family] * 16 + 1);
  expect(rules.at(-1)).toBe("-j MASQUERADE");
  for (const bit of bits) {
    expect(rules).toContain(`-s ${bit} ! -d ${bit} -j RETURN`);
    expect(rules).toContain(`! -s ${bit} -d ${bit} -j RETURN`);
  }
});

/** The ends of a connection from `from` to a Service with the endpoint `to`. */
function walk(family: Family, from: string, to: string): { odds: object; lookups: number } {
  const clusterIP = family === 4 ? "172.30.0.41" : "fd00:30::41";
  const endpoint = family === 4 ? `${to}:80` : `[${to}]:80`;
  const ruleset = rulesetOf(
    [
      {
        service: { type: "ClusterIP", clusterIPs: [clusterIP], ports: ["p80 tcp 80"] },
        endpoints: { cluster: [endpoint] },
      },
    ],
    {},
    { detector: { kind: "cidr" } },
    family,
  );
  const walker = new Walk(ruleset, { local: [] });
  const odds = walker.of({ from, to: clusterIP, protocol: "tcp", port: 80 });
  return { odds: Object.fromEntries(odds), lookups: walker.lookups };
}

describe.each(FAMILIES)("IPv%i", (family) => {
  const bytes = ADDRESS_BYTES[family];
  const anyAddress = fc.uint8Array({ minLength: bytes, maxLength: bytes });
  const print = (address: Uint8Array) => printAddress(address);

  test("an endpoint that reaches itself is masqueraded, whatever its address", () => {
    assertProperty(
      "hairpin-itself",
      fc.property(anyAddress, (address) => {
        const { odds } = walk(family, print(address), print(address));
        expect(Object.keys(odds).every((end) => end.endsWith("*"))).toBe(true);
      }),
      { variant: `IPv${family}` },
    );
  });

  test("another source is not, if its address differs in a single bit", () => {
    assertProperty(
      "hairpin-another",
      fc.property(anyAddress, fc.nat(bytes * 8 - 1), (address, bit) => {
        const other = address.slice();
        other[bit >> 3] = (other[bit >> 3] as number) ^ (128 >> (bit & 7));
        const { odds } = walk(family, print(other), print(address));
        expect(Object.keys(odds).every((end) => !end.endsWith("*"))).toBe(true);
      }),
      { variant: `IPv${family}` },
    );
  });

  test("a neighbor passes a few rules only", () => {
    const [one, other] = family === 4 ? ["10.1.0.5", "10.1.0.6"] : ["fd00:1::5", "fd00:1::6"];
    const { lookups } = walk(family, one as string, other as string);
    expect(lookups).toBeLessThan(30);
  });
});
