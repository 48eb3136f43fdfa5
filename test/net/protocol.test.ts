import { expect, test } from "bun:test";
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from "../../asm/layout/key.ts";
import {
  isProtocol,
  PROTOCOLS,
  parseLowercaseProtocol,
  printLowercaseProtocol,
  printProtocol,
} from "../../src/net/protocol.ts";

test("protocols have the core's numbers", () => {
  const numbers: { readonly [name: string]: number } = PROTOCOLS;
  expect(numbers).toEqual({ TCP: PROTOCOL_TCP, UDP: PROTOCOL_UDP, SCTP: PROTOCOL_SCTP });
});

test("a protocol and its word map to each other", () => {
  const words = Object.values(PROTOCOLS).map(printLowercaseProtocol);
  expect(words).toEqual(["tcp", "udp", "sctp"]);
  expect(words.map(parseLowercaseProtocol)).toEqual(Object.values(PROTOCOLS));
  for (const word of ["", "TCP", "icmp", "constructor"]) {
    expect(parseLowercaseProtocol(word)).toBeUndefined();
  }
});

test("a number that no Service can have is printed as such", () => {
  expect(printProtocol(17)).toBe("udp");
  expect(printProtocol(50)).toBe("protocol-50");
  expect([0, 6, 50].map(isProtocol)).toEqual([false, true, false]);
});
