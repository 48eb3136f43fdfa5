import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { COMPARED_SAME } from "../../asm/layout/element.ts";
import { BUILDS, createTestCore } from "../../harness/core/test-core.ts";
import {
  type Batch,
  elementName,
  fromHex,
  KernelModel,
  slotKey,
  slotsOf,
  toHex,
} from "../../harness/specification/diff.ts";
import { OWNER_ADOPTED, OWNER_NODE } from "../../src/model/owner.ts";
import type { ServiceId } from "../../src/model/service.ts";
import {
  clusterIPs,
  committed,
  concat,
  diffBatch,
  element,
  frontend,
  frontends,
  keyOf,
  range,
  serviceRecords,
  slots,
  sync,
  valueFor,
  writeBatch,
} from "./diff-batches.ts";

// Bun's default of 5 s is too short on a busy machine for a hundred endpoints with one core each.
setDefaultTimeout(120_000);

for (const build of BUILDS)
  describe(`diff (${build})`, () => {
    test("removing any one of many endpoints changes at most three keys", () => {
      for (const count of [2, 3, 10, 100])
        for (const removed of range(count)) {
          const core = createTestCore(build);
          const owner = core.service("default/web");
          const kernel = new KernelModel();
          sync(core, kernel, [{ owner, records: serviceRecords(1, range(count)) }]);
          const rest = range(count).filter((endpoint) => endpoint !== removed);
          const operations = diffBatch(core, [{ owner, records: serviceRecords(1, rest) }]);
          const keys = new Set(
            [...operations].map(({ table, key }) => elementName(table, toHex(key))),
          );
          // The hole's slot, the last slot, the frontend.
          expect(keys.size).toBe(removed === count ? 2 : 3);
          expect(operations.count).toBe(removed === count ? 3 : 5);
          kernel.apply(operations);
          core.commit();
          expect(slotsOf(kernel, slots, keyOf(slots, 1)).sort()).toEqual(
            rest.map((endpoint) => valueFor(slots, endpoint)),
          );
        }
    });

    test("endpoints that stay keep their slots in any desired order", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      const kernel = new KernelModel();
      sync(core, kernel, [{ owner, records: [frontend(1, [1, 2, 3, 4])] }]);
      expect(sync(core, kernel, [{ owner, records: [frontend(1, [4, 3, 2, 1])] }])).toBe(0);
      expect(sync(core, kernel, [{ owner, records: [frontend(1, [9, 4, 3, 1])] }])).toBe(2);
      expect(slotsOf(kernel, slots, keyOf(slots, 1))).toEqual(
        [1, 9, 3, 4].map((endpoint) => valueFor(slots, endpoint)),
      );
    });

    test("a changed value is a deletion directly followed by an addition of the same key", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      sync(core, new KernelModel(), [{ owner, records: [element(frontends, 1, 5)] }]);
      const operations = diffBatch(core, [{ owner, records: [element(frontends, 1, 4)] }]);
      expect(
        [...operations].map(({ kind, key, value }) => [kind, toHex(key), toHex(value)]),
      ).toEqual([
        ["delete", keyOf(frontends, 1), valueFor(frontends, 5)],
        ["add", keyOf(frontends, 1), valueFor(frontends, 4)],
      ]);
    });

    test("a batch that the kernel refused leaves everything as it was, and the next one repeats it", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      const kernel = new KernelModel();
      sync(core, kernel, [{ owner, records: serviceRecords(1, [1, 2, 3]) }]);
      const before = committed(core);
      const wanted: Batch = [{ owner, records: serviceRecords(1, [2, 4]) }];
      const refused = [...diffBatch(core, wanted)].map(({ kind, key }) => kind + toHex(key));
      expect(committed(core)).toEqual(before);
      expect([...diffBatch(core, wanted)].map(({ kind, key }) => kind + toHex(key))).toEqual(
        refused,
      );
      expect(sync(core, kernel, wanted)).toBe(refused.length);
      expect(committed(core)).toEqual(kernel.elements);
    });

    test("commit without a diff, or twice, is a defect", () => {
      const core = createTestCore(build);
      expect(() => core.commit()).toThrow(expect.objectContaining({ code: "CORE_ABORT" }));
      const owner = core.service("default/web");
      sync(core, new KernelModel(), [{ owner, records: [element(clusterIPs, 1)] }]);
      expect(() => core.commit()).toThrow(expect.objectContaining({ code: "CORE_ABORT" }));
      diffBatch(core, [{ owner, records: [] }]);
      core.adopt(clusterIPs, fromHex(keyOf(clusterIPs, 2)), 1);
      expect(() => core.commit()).toThrow(expect.objectContaining({ code: "CORE_ABORT" }));
    });

    test("adopted elements that match cost nothing, leftovers go with their owner", () => {
      const core = createTestCore(build);
      const kernel = new KernelModel();
      const former = createTestCore(build);
      const formerOwner = former.service("default/web");
      sync(former, kernel, [{ owner: formerOwner, records: serviceRecords(1, [1, 2, 3]) }]);
      sync(former, kernel, [{ owner: OWNER_NODE, records: serviceRecords(2, [1]) }]);
      for (const table of [clusterIPs, slots, frontends])
        former.eachElement(table, (key, value) => core.adopt(table, concat(key, value), 1));
      expect(core.elementCount()).toBe(8);
      expect(core.ownerOf(clusterIPs, fromHex(keyOf(clusterIPs, 1)))).toBe(OWNER_ADOPTED);

      const owner = core.service("default/web");
      const records = serviceRecords(1, [3, 1, 2]);
      expect(sync(core, kernel, [{ owner, records }])).toBe(0);
      expect(core.ownerOf(clusterIPs, fromHex(keyOf(clusterIPs, 1)))).toBe(owner);
      expect(sync(core, kernel, [{ owner: OWNER_ADOPTED, records: [] }])).toBe(3);
      expect(core.elementCount()).toBe(5);
      expect(kernel.elements.size).toBe(5);
      expect(sync(core, kernel, [{ owner, records }])).toBe(0);
    });

    test("adoption fills holes and repairs wrong values", () => {
      const core = createTestCore(build);
      const kernel = new KernelModel();
      for (const [slot, endpoint] of [
        [0, 7],
        [2, 3],
        [5, 1],
      ] as const) {
        const key = slotKey(keyOf(slots, 1), slot);
        core.adopt(slots, concat(fromHex(key), fromHex(valueFor(slots, endpoint))), 1);
        kernel.elements.set(elementName(slots, key), {
          value: valueFor(slots, endpoint),
          owner: OWNER_ADOPTED,
        });
      }
      const owner = core.service("default/web");
      expect(sync(core, kernel, [{ owner, records: [frontend(1, [1, 2, 3])] }])).toBe(3);
      expect(sync(core, kernel, [{ owner: OWNER_ADOPTED, records: [] }])).toBe(1);
      expect(slotsOf(kernel, slots, keyOf(slots, 1)).sort()).toEqual(
        [1, 2, 3].map((endpoint) => valueFor(slots, endpoint)),
      );
    });

    test("an element moves between owners of one batch in either order, without a gap", () => {
      for (const reversed of [false, true]) {
        const core = createTestCore(build);
        const kernel = new KernelModel();
        const [from, to] = [core.service("default/from"), core.service("default/to")];
        sync(core, kernel, [{ owner: from, records: serviceRecords(1, [1, 2]) }]);
        const batch: Batch = [
          { owner: from, records: [] },
          { owner: to, records: serviceRecords(1, [1, 2]) },
        ];
        const operations = diffBatch(core, reversed ? batch.toReversed() : batch);
        // Only in tables of actions does the kernel's element name its owner.
        expect([...operations].map(({ kind, table, owner }) => ({ kind, table, owner }))).toEqual([
          { kind: "delete", table: frontends, owner: to },
          { kind: "add", table: frontends, owner: to },
        ]);
        kernel.apply(operations);
        core.commit();
        for (const { owner } of committed(core).values()) expect(owner).toBe(to);
        expect(diffBatch(core, batch).count).toBe(0);
      }
    });

    test("an owner outside the batch loses what another one claims, and nothing else", () => {
      const core = createTestCore(build);
      const kernel = new KernelModel();
      const [from, to] = [core.service("default/from"), core.service("default/to")];
      sync(core, kernel, [
        {
          owner: from,
          records: [element(frontends, 1, 5), element(clusterIPs, 1), element(clusterIPs, 2)],
        },
      ]);
      sync(core, kernel, [
        { owner: to, records: [element(frontends, 1, 5), element(clusterIPs, 1)] },
      ]);
      expect(core.ownerOf(frontends, fromHex(keyOf(frontends, 1)))).toBe(to);
      expect(core.ownerOf(clusterIPs, fromHex(keyOf(clusterIPs, 1)))).toBe(to);
      expect(core.ownerOf(clusterIPs, fromHex(keyOf(clusterIPs, 2)))).toBe(from);
      expect(core.ownerOf(clusterIPs, fromHex(keyOf(clusterIPs, 3)))).toBeUndefined();
    });

    test("the id of a Service is recycled when nothing of it remains, and not before", () => {
      const core = createTestCore(build);
      const kernel = new KernelModel();
      const { exports } = core.wasm;
      const [gone, taken, stays] = ["gone", "taken", "stays"].map((name) =>
        core.service(`default/${name}`),
      );
      if (!gone || !taken || !stays) throw new Error("no id");
      sync(core, kernel, [
        { owner: gone, records: serviceRecords(1, [1]) },
        { owner: taken, records: serviceRecords(2, [1]) },
        { owner: stays, records: serviceRecords(3, [1]) },
      ]);
      for (const id of [gone, taken]) exports.setServiceBlock(id, 0);
      sync(core, kernel, [
        { owner: gone, records: [] },
        { owner: stays, records: [...serviceRecords(2, [1]), ...serviceRecords(3, [1])] },
      ]);
      expect([gone, taken, stays].map((id) => exports.isService(id))).toEqual([0, 0, 1]);
    });

    test("a key that a batch desires twice counts once, from the first record", () => {
      const core = createTestCore(build);
      const kernel = new KernelModel();
      const [one, two] = [core.service("default/one"), core.service("default/two")];
      const batch: Batch = [
        { owner: one, records: [element(frontends, 1, 1), frontend(1, [1, 2])] },
        { owner: two, records: [element(frontends, 1, 2), frontend(1, [3, 4, 5])] },
      ];
      for (const count of [3, 0]) {
        const operations = diffBatch(core, batch);
        expect(operations.ignored).toBe(2);
        expect(operations.count).toBe(count);
        kernel.apply(operations);
        core.commit();
      }
      for (const { owner } of committed(core).values()) expect(owner).toBe(one);
    });

    test("counters return the packets since the last reading", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      const kernel = new KernelModel();
      sync(core, kernel, [{ owner, records: [frontend(1, [1, 2])] }]);
      const key = (slot: number): Uint8Array => fromHex(slotKey(keyOf(slots, 1), slot));
      core.adopt(slots, concat(key(9), fromHex(valueFor(slots, 9))), 1);
      const read = (...packets: readonly (readonly [number, bigint])[]): number[] => [
        ...core.count(
          slots,
          concat(
            ...packets.map(([slot, count]) =>
              concat(key(slot), new Uint8Array(new BigUint64Array([count]).buffer)),
            ),
          ),
          packets.length,
        ),
      ];
      expect(read([0, 5n], [1, 2n ** 40n], [7, 3n], [9, 100n])).toEqual([5, 2 ** 40, 0, 0]);
      expect(read([0, 9n], [1, 2n ** 40n + 1n], [9, 101n])).toEqual([4, 1, 1]);
      // Slot 0 is created again for another endpoint, and starts from 0.
      sync(core, kernel, [{ owner, records: [frontend(1, [3, 2])] }]);
      expect(read([0, 2n], [1, 2n ** 40n + 2n])).toEqual([2, 1]);
      // Another program created slot 1 again.
      expect(read([1, 6n])).toEqual([6]);
    });

    test("an element that was lost and created again is the same, and its counter restarts", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      sync(core, new KernelModel(), [{ owner, records: [frontend(1, [1, 2])] }]);
      const key = (slot: number) => fromHex(slotKey(keyOf(slots, 1), slot));
      const reading = (slot: number, packets: bigint) =>
        concat(key(slot), new Uint8Array(new BigUint64Array([packets]).buffer));
      core.count(slots, concat(reading(0, 5n), reading(1, 5n)), 2);
      core.resetCounters(slots, concat(key(0), key(9)), 2);
      expect([...core.count(slots, concat(reading(0, 7n), reading(1, 7n)), 2)]).toEqual([7, 2]);
      expect(toHex(core.committedValue(slots, key(0)) ?? key(0))).toBe(valueFor(slots, 1));
      expect(core.committedValue(slots, key(9))).toBeUndefined();
    });

    test("the kernel's elements are compared with the committed ones", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      sync(core, new KernelModel(), [{ owner, records: [frontend(1, [1, 2])] }]);
      const pair = (slot: number, endpoint: number): Uint8Array =>
        fromHex(slotKey(keyOf(slots, 1), slot) + valueFor(slots, endpoint));
      const found = [pair(0, 1), pair(1, 7), pair(8, 1)];
      expect([...core.compare(slots, concat(...found), 3)]).toEqual([
        COMPARED_SAME,
        owner,
        OWNER_ADOPTED,
      ]);
      core.adopt(slots, concat(...found), 3);
      expect([...core.compare(slots, concat(...found), 3)]).toEqual(Array(3).fill(COMPARED_SAME));
    });

    test("an impossible desired region is refused before anything changes", () => {
      const core = createTestCore(build);
      const owner = core.service("default/web");
      const kernel = new KernelModel();
      sync(core, kernel, [{ owner, records: serviceRecords(1, [1]) }]);
      const before = committed(core);
      const regions: readonly (readonly number[])[] = [
        [1, 200, 0, 0, owner, 0, 0, 0, 1, 2, 3, 4], // no such table
        [1, clusterIPs, 0, 0, owner, 0, 0, 0, 1, 2], // cut off
        [1, clusterIPs, 0, 0], // not even a header
        [1, clusterIPs, 0, 0, owner + 1, 0, 0, 0, 1, 2, 3, 4], // not of the batch
        [2, clusterIPs, 0, 0, owner, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0], // no table of slots
        [3, clusterIPs, 0, 0, owner, 0, 0, 0, 1, 2, 3, 4], // no such record
        // endpoints beyond memory
        [2, slots, 0, 0, owner, 0, 0, 0, ...new Array(12).fill(1), 8, 0, 0, 0, 255, 255, 255, 255],
      ];
      for (const region of regions) {
        core.reserveDesired(region.length).set(region);
        expect(() => core.diff(region.length, [owner])).toThrow(
          expect.objectContaining({ code: "CORE_ABORT" }),
        );
        expect(committed(core)).toEqual(before);
      }
      expect(() => core.diff(0, [(owner + 1) as ServiceId])).toThrow(
        expect.objectContaining({ code: "CORE_ABORT" }),
      );
      expect(sync(core, kernel, [{ owner, records: serviceRecords(1, [1, 2]) }])).toBe(3);
    });

    test("running out of memory at any point is an error that changes nothing", () => {
      const large = range(2000).flatMap((key) => serviceRecords(key, range(5)));
      const small = serviceRecords(3000, [1]);
      let refusals = 0;
      for (let pages = 0; pages < 200; pages += 4) {
        const core = createTestCore(build);
        const owner = core.service("default/web");
        const kernel = new KernelModel();
        sync(core, kernel, [{ owner, records: small }]);
        const before = committed(core);
        const { bytes } = writeBatch(core, [{ owner, records: large }]);
        core.wasm.exports.heapLimit(core.wasm.u8().byteLength / 65_536 + pages);
        try {
          core.diff(bytes, [owner]);
        } catch (error) {
          expect(error).toMatchObject({ code: "CORE_MEMORY" });
          refusals++;
          expect(() => core.commit()).toThrow(expect.objectContaining({ code: "CORE_ABORT" }));
          core.wasm.exports.heapLimit(65_535);
          expect(committed(core)).toEqual(before);
          expect(sync(core, kernel, [{ owner, records: small }])).toBe(0);
          continue;
        }
        core.commit();
        expect(core.elementCount()).toBe(14_000);
        break;
      }
      expect(refusals).toBeGreaterThan(3);
    });
  });
