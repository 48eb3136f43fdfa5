import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { compileCore } from "../../build/compile-core.ts";
import { parseAddress, parseRange } from "../../harness/specification/ingest.ts";
import { type HeapExports, loadWasm } from "../../src/core/load.ts";
import { BUILDS } from "./ingest-core.ts";

interface Exports extends HeapExports {
  parseAddress(at: number, length: number): number;
  parseRange(at: number, length: number): number;
  parseTime(at: number, length: number): number;
  family(): number;
  prefix(): number;
  readonly parsedAddress: WebAssembly.Global;
}

const ALSO = `
import { parsedFamily, parsedPrefix } from "./ingest/text";
export { parseAddress, parseRange, parseTime, parsedAddress } from "./ingest/text";
export function family(): i32 { return parsedFamily; }
export function prefix(): i32 { return parsedPrefix; }
`;
const modules = {
  debug: new WebAssembly.Module(readFileSync(await compileCore("debug", ALSO))),
  release: new WebAssembly.Module(readFileSync(await compileCore("release", ALSO))),
};

/** Texts as Go's netutils.ParseIPSloppy reads them; undefined where it refuses. */
const ADDRESSES: readonly (readonly [string, string | undefined])[] = [
  ["10.1.2.3", "0a010203"],
  ["010.001.002.003", "0a010203"],
  ["0000000000.0.0.1", "00000001"],
  ["255.255.255.255", "ffffffff"],
  ["256.0.0.1", undefined],
  ["10.1.2", undefined],
  ["10.1.2.3.4", undefined],
  ["10.1.2.3 ", undefined],
  ["10..2.3", undefined],
  ["", undefined],
  ["None", undefined],
  ["::", "00000000000000000000000000000000"],
  ["::1", "00000000000000000000000000000001"],
  ["1::", "00010000000000000000000000000000"],
  ["2001:DB8::CB00:71FA", "20010db80000000000000000cb0071fa"],
  ["2001:db8:0:0:0:0:cb00:71fa", "20010db80000000000000000cb0071fa"],
  ["::ffff:10.1.2.3", "0a010203"],
  ["::FFFF:0A01:0203", "0a010203"],
  ["64:ff9b::192.0.2.1", "0064ff9b0000000000000000c0000201"],
  ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008"],
  ["1:2:3:4:5:6:7::", "00010002000300040005000600070000"],
  ["1:2:3:4:5:6:7:8::", undefined],
  ["1:2:3:4:5:6:7:8:9", undefined],
  ["1:2:3:4:5:6:7", undefined],
  ["1::2::3", undefined],
  [":1", undefined],
  ["1:", undefined],
  [":::", undefined],
  ["::12345", undefined],
  ["::000001", "00000000000000000000000000000001"],
  ["1:2:3:4:5:6:7:1.2.3.4", undefined],
  ["1.2.3.4::", undefined],
  ["fe80::1%eth0", undefined],
];

const RANGES: readonly (readonly [string, string | undefined])[] = [
  ["10.1.2.3/8", "0a000000/8"],
  [" 10.1.2.3/32\n", "0a010203/32"],
  ["10.1.2.3/0", "00000000/0"],
  ["10.1.2.3/33", undefined],
  ["10.1.2.3/", undefined],
  ["10.1.2.3", undefined],
  ["10.1.2.3/8/8", undefined],
  ["10.1.2.3/-1", undefined],
  ["/8", undefined],
  ["2001:DB8:ffff::1/33", "20010db8800000000000000000000000/33"],
  ["::/0", "00000000000000000000000000000000/0"],
  ["::1/129", undefined],
  ["::ffff:10.1.2.3/104", "0a000000/8"],
  ["::ffff:10.1.2.3/90", "00000000000000000000ffc000000000/90"],
];

const TIMES: readonly string[] = [
  "2025-03-04T05:06:07Z",
  "2025-03-04T05:06:07.5Z",
  "2025-03-04t05:06:07.123456z",
  "2025-03-04T05:06:07.123456789+05:45",
  "2024-02-29T23:59:59.999Z",
  "1969-12-31T23:59:59-00:01",
  "2000-01-01T00:00:00Z",
  "2100-12-31T00:00:00Z",
];
const NO_TIMES: readonly string[] = [
  "",
  "2025-03-04",
  "2025-03-04T05:06:07",
  "2025-03-04T05:06:07.Z",
  "2025-13-04T05:06:07Z",
  "2025-02-29T05:06:07Z",
  "2025-03-00T05:06:07Z",
  "2025-03-04T24:06:07Z",
  "2025-03-04T05:60:07Z",
  "2025-03-04T05:06:07Zz",
  "2025-03-04T05:06:07+0545",
  "2025/03/04T05:06:07Z",
  "2025-03-04T05:06:0xZ",
];

describe.each(BUILDS)("text (%s)", (build) => {
  const { exports, u8 } = loadWasm<Exports>(modules[build]);
  const place = exports.allocate(4096) >>> 0;
  const put = (text: string): [number, number] => {
    const bytes = new TextEncoder().encode(text);
    // Digits behind the text must not be read.
    u8()
      .fill(0x31, place, place + 4096)
      .set(bytes, place);
    return [place, bytes.length];
  };
  const parsed = (): string => {
    const at = Number(exports.parsedAddress.value) >>> 0;
    return u8()
      .slice(at, at + (exports.family() === 4 ? 4 : 16))
      .toHex();
  };
  const address = (text: string) => (exports.parseAddress(...put(text)) ? parsed() : undefined);
  const range = (text: string) =>
    exports.parseRange(...put(text)) ? `${parsed()}/${exports.prefix()}` : undefined;

  test.each(ADDRESSES)("address %j", (text, hex) => {
    expect(address(text)).toBe(hex as string);
    expect(parseAddress(text)).toBe(hex as string);
  });

  test.each(RANGES)("range %j", (text, hex) => {
    expect(range(text)).toBe(hex as string);
    expect(parseRange(text)).toBe(hex as string);
  });

  test("any text of the characters of addresses is read as the model reads it", () => {
    const characters = fc.constantFrom(..."0123456789abcdefABCDEFg:::...// %".split(""));
    const noise = fc.array(characters, { maxLength: 24 }).map((all) => all.join(""));
    const near = fc
      .tuple(fc.oneof(fc.ipV6(), fc.ipV4()), fc.nat(30), noise)
      .map(([text, at, other]) => text.slice(0, at) + other.slice(0, 2) + text.slice(at + 1));
    fc.assert(
      fc.property(fc.oneof(noise, near, fc.ipV6(), fc.ipV4()), fc.nat(130), (text, prefix) => {
        expect(address(text)).toBe(parseAddress(text) as string);
        expect(range(text)).toBe(parseRange(text) as string);
        expect(range(`${text}/${prefix}`)).toBe(parseRange(`${text}/${prefix}`) as string);
      }),
      { numRuns: 1000 },
    );
  }, 60_000);

  test.each(TIMES)("time %j", (text) => {
    expect(exports.parseTime(...put(text))).toBe(Date.parse(text.toUpperCase()));
  });

  test.each(NO_TIMES)("no time %j", (text) => {
    expect(exports.parseTime(...put(text))).toBeNaN();
  });
});
