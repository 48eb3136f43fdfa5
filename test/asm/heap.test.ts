import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { compileCore } from "../../build/compile-core.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import { type HeapExports, loadWasm } from "../../src/core/load.ts";
import { BUILDS } from "./ingest-core.ts";

interface Exports extends HeapExports {
  resize(block: number, oldSize: number, newSize: number): number;
  hashSeed(low: number, high: number): void;
  hash64(at: number, length: number): bigint;
  nameHold(at: number, length: number): number;
  nameFind(at: number, length: number): number;
  nameDrop(id: number): void;
}

const ALSO = `
export { resize } from "./memory/heap";
export { hashSeed, hash64 } from "./memory/hash";
export { nameHold, nameFind, nameDrop, nameCount } from "./memory/names";
`;
const modules = {
  debug: new WebAssembly.Module(readFileSync(await compileCore("debug", ALSO))),
  release: new WebAssembly.Module(readFileSync(await compileCore("release", ALSO))),
};

const size = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 200_000 }));
const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant("allocate" as const), size, which: fc.nat() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("release" as const), size, which: fc.nat() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("resize" as const), size, which: fc.nat() }),
  },
);

describe.each(BUILDS)("heap (%s)", (build) => {
  test(
    "blocks never overlap, keep their content, and all come back",
    () => {
      assertProperty(
        "heap-blocks",
        fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
          const { exports, u8 } = loadWasm<Exports>(modules[build]);
          exports.heapLimit(64);
          const start = exports.heapUsed();
          const blocks: { at: number; size: number; fill: number }[] = [];
          const check = ({ at, size: length, fill }: (typeof blocks)[number]) =>
            expect(
              u8()
                .subarray(at, at + length)
                .every((byte) => byte === fill),
            ).toBe(true);
          for (const [index, { kind, size: wanted, which }] of commands.entries()) {
            const fill = (index % 255) + 1;
            const block = blocks[which % Math.max(blocks.length, 1)];
            if (kind === "allocate") {
              const at = exports.allocate(wanted) >>> 0;
              if (at === 0) continue;
              expect(at % 8).toBe(0);
              u8().fill(fill, at, at + wanted);
              blocks.push({ at, size: wanted, fill });
            } else if (block !== undefined && kind === "release") {
              check(block);
              exports.release(block.at, block.size);
              blocks.splice(blocks.indexOf(block), 1);
            } else if (block !== undefined) {
              const at = exports.resize(block.at, block.size, wanted) >>> 0;
              if (at === 0) continue;
              check({ ...block, at, size: Math.min(wanted, block.size) });
              Object.assign(block, { at, size: wanted });
              u8().fill(block.fill, at, at + wanted);
            }
          }
          for (const block of blocks) check(block);
          for (const { at, size: length } of blocks) exports.release(at, length);
          expect(exports.heapUsed()).toBe(start);
        }),
        { numRuns: 60, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test("freed blocks are used again before memory grows", () => {
    const { exports } = loadWasm<Exports>(modules[build]);
    for (const size of [100_000, 24, 5000, 400_000, 64]) {
      const count = Math.floor(4_000_000 / size);
      const blocks = Array.from({ length: count }, () => exports.allocate(size) >>> 0);
      for (const at of blocks) exports.release(at, size);
    }
    // Four megabytes at a time, in blocks of any size.
    expect(exports.memory.buffer.byteLength).toBeLessThan(20_000_000);
  });

  test("free neighbors are joined when memory cannot grow", () => {
    const { exports } = loadWasm<Exports>(modules[build]);
    exports.heapLimit(64);
    const small: number[] = [];
    for (let at = exports.allocate(40) >>> 0; at !== 0; at = exports.allocate(40) >>> 0)
      small.push(at);
    expect(exports.allocate(1_000_000)).toBe(0);
    // Frees every other block first, so that the lists are unordered.
    for (const odd of [1, 0]) {
      for (const [i, at] of small.entries()) if (i % 2 === odd) exports.release(at, 40);
    }
    const large = exports.allocate(1_000_000) >>> 0;
    expect(large).toBeGreaterThan(0);
    exports.release(large, 1_000_000);
    expect(exports.allocate(2_000_000)).toBeGreaterThan(0);
  });

  test("absurd sizes are refused", () => {
    const { exports } = loadWasm<Exports>(modules[build]);
    for (const size of [0x4000_0001, 0x7fff_ffff, 0xffff_ffff])
      expect(exports.allocate(size)).toBe(0);
  });
});

describe.each(BUILDS)("hash and names (%s)", (build) => {
  const open = () => {
    const wasm = loadWasm<Exports>(modules[build]);
    const at = wasm.exports.allocate(4096) >>> 0;
    const put = (text: string): [number, number] => {
      const bytes = new TextEncoder().encode(text);
      wasm.u8().set(bytes, at);
      return [at, bytes.length];
    };
    return { ...wasm, put };
  };

  test("is SipHash-1-3 for every length, independent of the bytes after it", () => {
    const { exports, u8, put } = open();
    exports.hashSeed(1, 2);
    const hashes = new Set<bigint>();
    for (let length = 0; length <= 64; length++) {
      const text = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-./".slice(
        0,
        length,
      );
      const [at] = put(text);
      u8()[at + length] = 0x55;
      const hash = exports.hash64(at, length);
      u8()[at + length] = 0xaa;
      expect(exports.hash64(at, length)).toBe(hash);
      expect(BigInt.asUintN(64, hash)).toBe(sipHash13(u8().slice(at, at + length), 1, 2));
      hashes.add(hash);
    }
    expect(hashes.size).toBe(65);
    exports.hashSeed(2, 2);
    expect(hashes.has(exports.hash64(...put("abc")))).toBe(false);
  });

  test(
    "names are found, counted and recycled",
    () => {
      assertProperty(
        "name-counts",
        fc.property(fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 200 }), (steps) => {
          const { exports, put } = open();
          const held = new Map<string, { id: number; holders: number }>();
          for (const [number, hold] of steps) {
            const text = "name-".repeat(number % 4) + number;
            const known = held.get(text);
            if (hold) {
              const id = exports.nameHold(...put(text)) >>> 0;
              const others = [...held].filter(([other]) => other !== text);
              const fresh = others.every(([, other]) => other.id !== id);
              if (known ? known.id !== id : !fresh) throw new Error(`${text} has the id ${id}`);
              held.set(text, { id, holders: (known?.holders ?? 0) + 1 });
            } else if (known) {
              exports.nameDrop(known.id);
              known.holders--;
              if (known.holders === 0) held.delete(text);
            }
          }
          for (const [text, { id }] of held) expect(exports.nameFind(...put(text))).toBe(id);
          expect(exports.nameFind(...put("never held")) >>> 0).toBe(0xffff_ffff);
          expect(exports.nameFind(...put(""))).toBe(0);
        }),
        { numRuns: 60, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );
});

/**
 * SipHash-1-3 by its specification, with the key that asm/memory/hash.ts derives from a seed
 * (splitmix64).
 */
function sipHash13(bytes: Uint8Array, low: number, high: number): bigint {
  const u64 = (value: bigint) => BigInt.asUintN(64, value);
  const rotate = (value: bigint, by: bigint) => u64(value << by) | (value >> (64n - by));
  const splitmix = (state: bigint) => {
    let z = u64(state);
    z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
  const seed = (BigInt(high) << 32n) | BigInt(low);
  const key0 = splitmix(seed + 0x9e3779b97f4a7c15n);
  const key1 = splitmix(seed + 2n * 0x9e3779b97f4a7c15n);
  let v0 = key0 ^ 0x736f6d6570736575n;
  let v1 = key1 ^ 0x646f72616e646f6dn;
  let v2 = key0 ^ 0x6c7967656e657261n;
  let v3 = key1 ^ 0x7465646279746573n;
  const round = () => {
    v0 = u64(v0 + v1);
    v1 = rotate(v1, 13n) ^ v0;
    v0 = rotate(v0, 32n);
    v2 = u64(v2 + v3);
    v3 = rotate(v3, 16n) ^ v2;
    v0 = u64(v0 + v3);
    v3 = rotate(v3, 21n) ^ v0;
    v2 = u64(v2 + v1);
    v1 = rotate(v1, 17n) ^ v2;
    v2 = rotate(v2, 32n);
  };
  const padded = new Uint8Array((bytes.length + 8) & ~7);
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length;
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const word = view.getBigUint64(at, true);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  v2 ^= 0xffn;
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}
