import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { compileCore } from "../../build/compile-core.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import { ADDRESSES, addressTexts, RANGES } from "../../harness/specification/address-vectors.ts";
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

/** White space reaches only the core, in loadBalancerSourceRanges, which kube-proxy trims. */
const SPACED: readonly (readonly [string, string | undefined])[] = [
  [" 10.1.2.3/32\n", "0a010203/32"],
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
    // Digits after the text must not be read.
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

  test.each([...RANGES, ...SPACED])("range %j", (text, hex) => {
    expect(range(text)).toBe(hex as string);
    expect(parseRange(text)).toBe(hex as string);
  });

  test(
    "any text of address characters is parsed as the model does",
    () => {
      assertProperty(
        "core-address-text",
        fc.property(addressTexts(), fc.nat(130), (text, prefix) => {
          expect(address(text)).toBe(parseAddress(text) as string);
          expect(range(text)).toBe(parseRange(text) as string);
          expect(range(`${text}/${prefix}`)).toBe(parseRange(`${text}/${prefix}`) as string);
        }),
        { numRuns: 1000, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test.each(TIMES)("time %j", (text) => {
    expect(exports.parseTime(...put(text))).toBe(Date.parse(text.toUpperCase()));
  });

  test.each(NO_TIMES)("no time %j", (text) => {
    expect(exports.parseTime(...put(text))).toBeNaN();
  });
});
