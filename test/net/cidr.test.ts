import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseIp, parseRange } from "../../harness/plan/plan-text.ts";
import { assertProperty } from "../../harness/property.ts";
import { type Cidr, printAddress, printCidr } from "../../src/net/address.ts";
import { cidrContains, lastAddress, prefixLength, removeNested } from "../../src/net/cidr.ts";

describe("a range", () => {
  test.each([
    ["10.0.0.0/8", "10.255.255.255"],
    ["0.0.0.0/0", "255.255.255.255"],
    ["10.1.2.3/32", "10.1.2.3"],
    ["10.1.2.0/23", "10.1.3.255"],
    ["fd00::/8", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    ["2001:db8::7/127", "2001:db8::7"],
  ])("%s ends at %s", (text, last) => {
    expect(printAddress(lastAddress(parseRange(text)))).toBe(last);
  });

  test.each([
    ["10.0.0.0/8", "10.9.9.9", true],
    ["10.0.0.0/8", "11.0.0.0", false],
    ["10.1.2.0/23", "10.1.3.255", true],
    ["10.1.2.0/23", "10.1.4.0", false],
    ["0.0.0.0/0", "255.1.1.1", true],
    ["0.0.0.0/0", "::1", false],
    ["::/0", "10.0.0.1", false],
    ["fd00::/9", "fd7f::1", true],
    ["fd00::/9", "fd80::1", false],
    ["1.2.3.4/32", "1.2.3.5", false],
  ] as const)("%s contains %s: %p", (range, address, want) => {
    expect(cidrContains(parseRange(range), parseIp(address))).toBe(want);
  });

  test("an interval that is not a range has no prefix", () => {
    expect(prefixLength(parseIp("10.0.0.1").bytes, parseIp("10.0.0.2").bytes)).toBeUndefined();
    expect(prefixLength(parseIp("10.0.0.0").bytes, parseIp("10.0.0.2").bytes)).toBeUndefined();
  });
});

// Bytes with few values, so that ranges often contain each other.
const arbitraryCidr: fc.Arbitrary<Cidr> = fc
  .constantFrom(4, 16)
  .chain((size) =>
    fc.tuple(
      fc.array(fc.constantFrom(0, 64, 128), { minLength: size, maxLength: size }),
      fc.nat(size * 8),
    ),
  )
  .map(([bytes, prefix]) => parseRange(`${printAddress(Uint8Array.from(bytes))}/${prefix}`));

describe("for any ranges", () => {
  test("the first and last address give the prefix", () => {
    assertProperty(
      "cidr-prefix",
      fc.property(arbitraryCidr, (range) => {
        expect(prefixLength(range.bytes, lastAddress(range))).toBe(range.prefix);
      }),
    );
  });

  test("disjoint ones cover the same addresses, sorted and without nesting, for any input order", () => {
    assertProperty(
      "cidr-disjoint",
      fc.property(fc.array(arbitraryCidr, { maxLength: 8 }), (ranges) => {
        const kept = removeNested(ranges);
        for (const range of ranges) {
          const first = { family: range.family, bytes: range.bytes };
          expect(kept.some((one) => cidrContains(one, first) && one.prefix <= range.prefix)).toBe(
            true,
          );
        }
        for (const one of kept) {
          expect(ranges.some((range) => printCidr(range) === printCidr(one))).toBe(true);
          for (const other of kept) expect(one !== other && cidrContains(other, one)).toBe(false);
        }
        expect(removeNested([...ranges].reverse()).map(printCidr)).toEqual(kept.map(printCidr));
      }),
    );
  });
});
