import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parseIp } from "../../harness/plan/plan-text.ts";
import { ADDRESSES } from "../../harness/plan/random-services.ts";
import { assertProperty } from "../../harness/property.ts";
import {
  addressBytes,
  addressKey,
  addressOf,
  addressText,
  compareKeys,
  type FrontendKey,
  frontendKey,
  isNodePort,
  nodePortKey,
  portBlock,
  portOf,
  prefixKey,
  protocolOf,
  readAddressKey,
  readFrontendKey,
} from "../../src/model/frontend-key.ts";
import { tableId } from "../../src/model/tables.ts";
import { compareBytes, type Family, printAddress } from "../../src/net/address.ts";
import { PROTOCOLS, type Protocol } from "../../src/net/protocol.ts";

/**
 * The meaning of a key. Without an address it is a node port, without a protocol only an address.
 */
interface Parts {
  readonly family: Family;
  readonly address?: string;
  readonly protocol?: Protocol;
  readonly port?: number;
}

const arbitraryProtocol = fc.constantFrom(PROTOCOLS.TCP, PROTOCOLS.UDP, PROTOCOLS.SCTP);
const arbitraryPort = fc.constantFrom(0, 1, 80, 255, 256, 30080, 65535);
const arbitraryAddress = fc.constantFrom(
  ...[...ADDRESSES, "255.255.255.255", "0.0.0.0", "128.0.0.0", "::", "ffff::ffff"],
);
const arbitraryNodePort = fc.record<Parts>({
  family: fc.constantFrom<Family>(4, 6),
  protocol: arbitraryProtocol,
  port: arbitraryPort,
});
const arbitraryFrontend = fc.tuple(arbitraryAddress, arbitraryProtocol, arbitraryPort).map(
  ([address, protocol, port]): Parts => ({
    family: parseIp(address).family,
    address,
    protocol,
    port,
  }),
);
const arbitraryAlone = arbitraryAddress.map(
  (address): Parts => ({ family: parseIp(address).family, address }),
);
const arbitraryParts = fc.oneof(arbitraryNodePort, arbitraryFrontend, arbitraryAlone);

function keyOf({ family, address, protocol, port = 0 }: Parts): FrontendKey {
  if (protocol === undefined) return addressKey(parseIp(address ?? "").bytes);
  if (address === undefined) return nodePortKey(family, protocol, port);
  return frontendKey(parseIp(address).bytes, protocol, port);
}

function textOf({ family, address, protocol, port }: Parts): string {
  return `${family} ${address} ${protocol} ${port}`;
}

/** The required order of keys of one family. */
function compareParts(a: Parts, b: Parts): number {
  if (a.address === undefined || b.address === undefined) {
    if (a.address !== b.address) return a.address === undefined ? -1 : 1;
  } else {
    const order = compareBytes(parseIp(a.address).bytes, parseIp(b.address).bytes);
    if (order !== 0) return order;
  }
  return (a.protocol ?? 0) - (b.protocol ?? 0) || (a.port ?? 0) - (b.port ?? 0);
}

describe("a frontend's key", () => {
  test("is equal exactly when the frontends are", () => {
    assertProperty(
      "frontend-key-equality",
      fc.property(arbitraryParts, arbitraryParts, (a, b) => {
        expect(keyOf(a) === keyOf(b)).toBe(textOf(a) === textOf(b));
      }),
      2000,
    );
  });

  test("sorts by address, protocol and port, after node ports", () => {
    assertProperty(
      "frontend-key-order",
      fc.property(arbitraryParts, arbitraryParts, (a, b) => {
        fc.pre(a.family === b.family);
        expect(compareKeys(keyOf(a), keyOf(b))).toBe(Math.sign(compareParts(a, b)));
      }),
      2000,
    );
  });

  test("returns its parts", () => {
    assertProperty(
      "frontend-key-parts",
      fc.property(arbitraryParts, (parts) => {
        const key = keyOf(parts);
        const { address, protocol, port } = parts;
        expect(isNodePort(key)).toBe(address === undefined);
        if (protocol !== undefined) {
          expect([protocolOf(key), portOf(key)]).toEqual([protocol, port as number]);
        }
        if (address === undefined) {
          expect(addressOf(key)).toBeUndefined();
          return;
        }
        const { bytes } = parseIp(address);
        expect(addressOf(key)).toBe(addressKey(bytes));
        expect(addressBytes(key)).toEqual(bytes);
        expect(addressText(key)).toBe(printAddress(bytes));
      }),
      1000,
    );
  });

  test("is read from the keys of tables", () => {
    assertProperty(
      "frontend-key-read",
      fc.property(fc.oneof(arbitraryFrontend, arbitraryNodePort), (parts) => {
        const { family, address, protocol = 0, port = 0 } = parts;
        const start = address === undefined ? [] : [...parseIp(address).bytes];
        const bytes = [...start, protocol, 0, 0, 0, port >> 8, port & 0xff, 0, 0];
        const frontends = tableId(address === undefined ? "nodeports" : "frontends", family);
        expect(readFrontendKey(frontends, Uint8Array.from(bytes))).toBe(keyOf(parts));
        const slots = tableId(address === undefined ? "nodeport-endpoints" : "endpoints", family);
        expect(readFrontendKey(slots, Uint8Array.from([...bytes, 1, 2, 3, 4]))).toBe(keyOf(parts));
        const unknown = Uint8Array.from(bytes);
        unknown[start.length] = 50;
        expect(readFrontendKey(frontends, unknown)).toBeUndefined();
        if (address === undefined) return;
        const alone = addressKey(parseIp(address).bytes);
        expect(readAddressKey(tableId("cluster-ips", family), Uint8Array.from(start))).toBe(alone);
        expect(readAddressKey(frontends, Uint8Array.from(bytes))).toBe(alone);
      }),
      1000,
    );
  });

  test("shares a prefix with the keys of addresses that share one", () => {
    const at = (address: string) => frontendKey(parseIp(address).bytes, PROTOCOLS.TCP, 80);
    for (const [a, b, prefix] of [
      ["10.96.0.0", "10.96.0.31", 27],
      ["128.0.0.0", "255.255.255.255", 1],
      ["fd00::100", "fd00::13f", 122],
      ["fd00::", "fd00::ff", 120],
    ] as const) {
      expect(prefixKey(at(a), prefix)).toBe(prefixKey(at(b), prefix));
      expect(prefixKey(at(a), prefix + 1)).not.toBe(prefixKey(at(b), prefix + 1));
    }
    expect(printAddress(addressBytes(at("10.96.200.17"), 20))).toBe("10.96.192.0");
    expect(printAddress(addressBytes(at("fd00::1234"), 124))).toBe("fd00::1230");
  });

  test("shares a block with the node ports of its protocol and range", () => {
    for (const family of [4, 6] as const) {
      const block = (protocol: Protocol, port: number) =>
        portBlock(nodePortKey(family, protocol, port), 4);
      expect(block(PROTOCOLS.TCP, 30208)).toBe(block(PROTOCOLS.TCP, 30223));
      expect(block(PROTOCOLS.TCP, 30224)).not.toBe(block(PROTOCOLS.TCP, 30223));
      expect(block(PROTOCOLS.UDP, 30208)).not.toBe(block(PROTOCOLS.TCP, 30208));
    }
  });
});
