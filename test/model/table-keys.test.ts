import { describe, expect, test } from "bun:test";
import { KEY_BYTES, KEY_PORT, KEY_PROTOCOL, SLOT_NUMBER_BYTES } from "../../asm/layout/key.ts";
import {
  isNodePortTable,
  keyFields,
  readAddress,
  readPort,
  readProtocol,
  readRange,
  readSlot,
} from "../../src/model/table-keys.ts";
import { keySize, TABLE_IDS, tableId, tableKind } from "../../src/model/tables.ts";

describe("the fields of a table key", () => {
  test("follow each other without a gap, in the order of the schema", () => {
    for (const table of TABLE_IDS) {
      let end = 0;
      for (const { at, size } of keyFields(table)) {
        expect(at).toBe(end);
        end += size;
      }
      expect(end).toBe(keySize(table));
      expect(keyFields(table).map(({ field }) => field)).toEqual([...tableKind(table).key]);
    }
  });

  test("lie as the core expects them", () => {
    for (const table of TABLE_IDS) {
      const fields = keyFields(table);
      const protocol = fields.find(({ field }) => field === "protocol");
      const port = fields.find(({ field }) => field === "port");
      if (protocol !== undefined) {
        expect((port?.at ?? 0) - protocol.at).toBe(KEY_PORT - KEY_PROTOCOL);
        expect(protocol.size + (port?.size ?? 0)).toBe(KEY_BYTES);
      }
      const slot = fields.find(({ field }) => field === "slot");
      if (slot === undefined) continue;
      expect(slot.size).toBe(SLOT_NUMBER_BYTES);
      expect(slot.at).toBe(keySize(table) - SLOT_NUMBER_BYTES);
    }
  });

  test("are read at their offsets", () => {
    // 10.96.0.1 tcp 8080 slot 258; a slot is in host order.
    const endpoint4 = Uint8Array.of(10, 96, 0, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0, 2, 1, 0, 0);
    const endpoints4 = tableId("endpoints", 4);
    expect([...readAddress(endpoints4, endpoint4)]).toEqual([10, 96, 0, 1]);
    expect(readProtocol(endpoints4, endpoint4)).toBe(6);
    expect(readPort(endpoints4, endpoint4)).toBe(8080);
    expect(readSlot(endpoints4, endpoint4)).toBe(258);

    const address = [0xfd, ...new Array<number>(14).fill(0), 1];
    const endpoints6 = tableId("endpoints", 6);
    const endpoint6 = Uint8Array.from([...address, ...endpoint4.subarray(4)]);
    expect([...readAddress(endpoints6, endpoint6)]).toEqual(address);
    expect(readProtocol(endpoints6, endpoint6)).toBe(6);
    expect(readPort(endpoints6, endpoint6)).toBe(8080);
    expect(readSlot(endpoints6, endpoint6)).toBe(258);

    for (const family of [4, 6] as const) {
      const nodePorts = tableId("nodeport-endpoints", family);
      expect(readProtocol(nodePorts, endpoint4.subarray(4))).toBe(6);
      expect(readPort(nodePorts, endpoint4.subarray(4))).toBe(8080);
      expect(readSlot(nodePorts, endpoint4.subarray(4))).toBe(258);
      expect(readPort(tableId("health-check-ports", family), Uint8Array.of(1, 2, 0, 0))).toBe(258);
    }
  });

  test("may end in a range", () => {
    const range = [10, 0, 0, 0, 10, 255, 255, 255];
    const key = Uint8Array.from([10, 96, 0, 1, 6, 0, 0, 0, 0, 80, 0, 0, ...range]);
    const { first, last } = readRange(tableId("allowed-sources", 4), key);
    expect([...first, ...last]).toEqual(range);
    const alone = readRange(tableId("service-cidrs", 4), Uint8Array.from(range));
    expect([...alone.first, ...alone.last]).toEqual(range);
  });

  test("that do not exist cannot be read", () => {
    const key = new Uint8Array(64);
    for (const read of [readSlot, readPort, readProtocol, readRange]) {
      expect(() => read(tableId("cluster-ips", 4), key)).toThrow(RangeError);
    }
    expect(() => readAddress(tableId("nodeports", 4), key)).toThrow(RangeError);
    expect(() => readSlot(tableId("endpoints", 4), new Uint8Array(15))).toThrow(RangeError);
  });

  test("have no address if they are node ports", () => {
    for (const table of TABLE_IDS) {
      expect(isNodePortTable(table)).toBe(tableKind(table).name.startsWith("nodeport"));
    }
  });
});
