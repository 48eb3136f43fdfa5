import { describe, expect, test } from "bun:test";
import {
  keySize,
  TABLES,
  type TableName,
  tableFamily,
  tableId,
  tableKind,
  tableLabel,
  valueSize,
} from "../../src/model/tables.ts";

describe("tables", () => {
  test("have fixed numbers that name and family map to, and back", () => {
    TABLES.forEach(({ name }, index) => {
      for (const family of [4, 6] as const) {
        const id = tableId(name, family);
        expect(Number(id)).toBe(index * 2 + (family === 6 ? 1 : 0));
        expect(tableFamily(id)).toBe(family);
        expect(tableKind(id).name).toBe(name);
        expect(tableLabel(id)).toBe(`${name}${family}`);
      }
    });
  });

  test.each<[TableName, number, number, number, number]>([
    ["frontends", 12, 24, 4, 4],
    ["endpoints", 16, 28, 8, 20],
    ["nodeports", 8, 8, 4, 4],
    ["nodeport-endpoints", 12, 12, 8, 20],
    ["cluster-ips", 4, 16, 0, 0],
    ["allowed-sources", 20, 56, 0, 0],
    ["service-cidrs", 8, 32, 0, 0],
    ["health-check-ports", 4, 4, 0, 0],
  ])("%s: keys of %p and %p bytes, values of %p and %p", (name, key4, key6, value4, value6) => {
    expect([keySize(tableId(name, 4)), keySize(tableId(name, 6))]).toEqual([key4, key6]);
    expect([valueSize(tableId(name, 4)), valueSize(tableId(name, 6))]).toEqual([value4, value6]);
  });
});
