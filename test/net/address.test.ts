import { describe, expect, test } from "bun:test";
import {
  parseAddress,
  parseCidr,
  printAddress,
  printAddressPort,
  printCidr,
} from "../../src/net/address.ts";

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

  test.each([
    "",
    "10.0.0",
    "10.0.0.256",
    "10.0.0.1.",
    "0x10.0.0.1",
    "1:2:3",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7:8::",
    "fe80::1%eth0",
    "[::1]",
    "g::",
    "::1.2.3",
  ])("but %p is none", (text) => {
    expect(parseAddress(text)).toBeUndefined();
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

  test.each([
    "10.0.0.0",
    "10.0.0.0/33",
    "10.0.0.0/",
    "10.0.0.0/08",
    "::/129",
    "/8",
    "a/8",
    "::/-1",
  ])("but %p is none", (text) => {
    expect(parseCidr(text)).toBeUndefined();
  });
});

test("an IPv6 address is bracketed before a port", () => {
  expect(printAddressPort(new Uint8Array([10, 0, 0, 1]), 80)).toBe("10.0.0.1:80");
  expect(printAddressPort(new Uint8Array(16), 80)).toBe("[::]:80");
});
