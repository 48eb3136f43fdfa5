import { expect, test } from "bun:test";
import fc from "fast-check";
import { assertProperty } from "../../harness/property.ts";
import { readU8, readU16BE, readU32BE, readU32LE } from "../../src/base/bytes.ts";

test("numbers equal the ones that a DataView reads", () => {
  const bytes = fc.uint8Array({ minLength: 4, maxLength: 8 });
  assertProperty(
    "bytes",
    fc.property(bytes, fc.nat(4), (bytes, at) => {
      fc.pre(at + 4 <= bytes.length);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      expect(readU8(bytes, at)).toBe(view.getUint8(at));
      expect(readU16BE(bytes, at)).toBe(view.getUint16(at));
      expect(readU32BE(bytes, at)).toBe(view.getUint32(at));
      expect(readU32LE(bytes, at)).toBe(view.getUint32(at, true));
    }),
  );
});

test("a number outside the bytes is not read", () => {
  const bytes = new Uint8Array(4);
  for (const [read, at] of [
    [readU8, 4],
    [readU16BE, 3],
    [readU32BE, 1],
    [readU32LE, 1],
    [readU8, -1],
    [readU16BE, -1],
    [readU32BE, -1],
    [readU32LE, -1],
  ] as const) {
    expect(() => read(bytes, at)).toThrow(RangeError);
  }
});
