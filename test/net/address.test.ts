import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { assertProperty } from "../../harness/property.ts";
import { ADDRESSES, addressTexts, RANGES } from "../../harness/specification/address-vectors.ts";
import * as specification from "../../harness/specification/ingest.ts";
import {
  parseAddress,
  parseCidr,
  printAddress,
  printAddressPort,
  printCidr,
} from "../../src/net/address.ts";

const addressHex = (text: string) => parseAddress(text)?.bytes.toHex();
const rangeHex = (text: string) => {
  const cidr = parseCidr(text);
  return cidr && `${cidr.bytes.toHex()}/${cidr.prefix}`;
};

describe("texts are parsed as the core does", () => {
  test.each(ADDRESSES)("address %j", (text, hex) => {
    expect(addressHex(text)).toBe(hex as string);
  });

  test.each(RANGES)("range %j", (text, hex) => {
    expect(rangeHex(text)).toBe(hex as string);
  });

  test("any text", () => {
    assertProperty(
      "address-text",
      fc.property(addressTexts(), fc.nat(130), (text, prefix) => {
        expect(addressHex(text)).toBe(specification.parseAddress(text) as string);
        // Only the core ignores white space around a range.
        fc.pre(!text.includes(" "));
        const range = `${text}/${prefix}`;
        expect(rangeHex(range)).toBe(specification.parseRange(range) as string);
      }),
      1000,
    );
  });
});

describe("an address is read and printed", () => {
  test.each([
    ["10.0.0.1", "10.0.0.1"],
    ["010.000.0.08", "10.0.0.8"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:0:0:1::0:1", "fd00:0:0:1::1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["64:ff9b::192.0.2.1", "64:ff9b::c000:201"],
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ])("%s as %s", (text, printed) => {
    const address = parseAddress(text);
    expect(address && printAddress(address.bytes)).toBe(printed);
  });
});

describe("a range is read with its host bits cleared", () => {
  test.each([
    ["10.1.2.3/8", "10.0.0.0/8"],
    ["10.255.255.255/9", "10.128.0.0/9"],
    ["10.1.2.3/32", "10.1.2.3/32"],
    ["10.1.2.3/0", "0.0.0.0/0"],
    ["fd00:1:2:3::4/56", "fd00:1:2::/56"],
    ["fd00::1/128", "fd00::1/128"],
  ])("%s as %s", (text, printed) => {
    const cidr = parseCidr(text);
    expect(cidr && printCidr(cidr)).toBe(printed);
  });

  test("its prefix has no leading zeros", () => {
    expect(parseCidr("10.0.0.0/08")).toBeUndefined();
  });
});

test("an IPv6 address is bracketed before a port", () => {
  expect(printAddressPort(new Uint8Array([10, 0, 0, 1]), 80)).toBe("10.0.0.1:80");
  expect(printAddressPort(new Uint8Array(16), 80)).toBe("[::]:80");
});
