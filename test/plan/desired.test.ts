import { describe, expect, test } from "bun:test";
import {
  buildContext,
  buildService,
  claimsOf,
  Memory,
  plainWriter,
} from "../../harness/plan/plan-text.ts";
import { printDesired } from "../../harness/plan/print-elements.ts";
import type { Service } from "../../src/model/service.ts";
import { DesiredWriter } from "../../src/plan/desired.ts";
import { planService } from "../../src/plan/plan.ts";
import { expandService } from "../../src/state/frontends.ts";

const nameless = () => "x";

/** Writes many Services, so that the first reservation is too small. */
function writeMany(writer: DesiredWriter, between: () => void): Memory {
  const memory = new Memory();
  const claims = claimsOf([]);
  const plan = buildContext(claims);
  for (let i = 0; i < 1500; i++) {
    const one = buildService({
      id: i + 1,
      name: `ns/s${i}`,
      clusterIPs: [`10.96.${i >> 8}.${i & 255}`],
    });
    const expanded = expandService(one);
    claims.update(expanded);
    planService(
      expanded,
      memory.choices(one, { cluster: ["10.1.0.5:80", "10.1.0.6:80"] }),
      plan,
      writer,
    );
    between();
  }
  return memory;
}

/**
 * Memory like the core's: growing empties every view of it, and a larger reservation copies
 * nothing.
 */
class MovingMemory {
  #buffer = new ArrayBuffer(0);
  reservations = 0;

  reserve(bytes: number): Uint8Array {
    this.reservations++;
    if (this.#buffer.byteLength < bytes) {
      this.#buffer = new ArrayBuffer(bytes);
      new Uint8Array(this.#buffer).fill(0xee);
    }
    return new Uint8Array(this.#buffer, 0, bytes);
  }

  move(): void {
    this.#buffer = this.#buffer.transfer();
  }
}

describe("the writer", () => {
  test("writes the same records if memory grows, moves, or is large from the start", () => {
    const plain = plainWriter();
    const memory = writeMany(plain, () => {});
    const want = printDesired(plain.region(), plain.bytes, memory.bytes, nameless);
    expect(want.length).toBe(1500 * 4);
    expect(plain.bytes).toBeGreaterThan(64 * 1024);

    const moving = new MovingMemory();
    const writer = new DesiredWriter((bytes) => moving.reserve(bytes));
    const again = writeMany(writer, () => moving.move());
    expect(printDesired(writer.region(), writer.bytes, again.bytes, nameless)).toEqual(want);
    expect(moving.reservations).toBeGreaterThan(1500);
  });

  test("starts over after a reset, in newly requested memory", () => {
    const asked: number[] = [];
    let region = new Uint8Array(0);
    const writer = new DesiredWriter((bytes) => {
      asked.push(bytes);
      region = new Uint8Array(bytes);
      return region;
    });
    const claims = claimsOf([]);
    const one: Service = buildService({});
    claims.update(expandService(one));
    planService(expandService(one), [], buildContext(claims), writer);
    const bytes = writer.bytes;
    expect(bytes).toBeGreaterThan(0);
    writer.reset();
    expect(writer.bytes).toBe(0);
    planService(expandService(one), [], buildContext(claims), writer);
    expect(writer.bytes).toBe(bytes);
    expect(asked.length).toBe(2);
    expect(printDesired(region, bytes, region, nameless)).toEqual(["cluster-ips4 10.96.0.1 (x)"]);
  });
});
