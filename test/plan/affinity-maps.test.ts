import { describe, expect, test } from "bun:test";
import { buildService } from "../../harness/plan/plan-text.ts";
import { AFFINITY_MAPS, encodeAction } from "../../src/model/actions.ts";
import { frontendKeyBytes } from "../../src/model/table-keys.ts";
import { type TableId, tableId } from "../../src/model/tables.ts";
import { AffinityMaps, type CommittedElements } from "../../src/plan/affinity-maps.ts";
import { type Frontend, frontendsOf } from "../../src/state/frontends.ts";

const LEARN4 = tableId("learn", 4);

/** The frontends of a Service with a clusterIP, an externalIP and a node port in both families. */
function frontendsFor(number: number): Frontend[] {
  return frontendsOf(
    buildService({
      type: "NodePort",
      clusterIPs: [`10.96.${number >> 8}.${number & 255}`, `fd00:96::${number.toString(16)}`],
      externalIPs: ["203.0.113.9"],
      ports: [`http tcp ${number} ${30_000 + number}`],
    }),
  );
}

/** Committed elements of these frontends. `maps` has the number of each map. */
function committedOf(maps: ReadonlyMap<Frontend, number>, foreign?: Uint8Array): CommittedElements {
  const elements: { table: TableId; key: Uint8Array; value: Uint8Array }[] = [];
  for (const [{ family, address, protocol, port }, map] of maps) {
    const nodePort = address === undefined;
    const code = encodeAction({ verb: "learn", nodePort, map, seconds: 60 });
    const value = new Uint8Array(Uint32Array.of(code).buffer);
    const table = tableId(nodePort ? "nodeports-learn" : "learn", family);
    elements.push({ table, key: frontendKeyBytes(address?.bytes, protocol, port), value });
  }
  if (foreign !== undefined) {
    elements.push({ table: LEARN4, key: frontendKeyBytes(foreign, 6, 80), value: foreign });
  }
  return {
    committedValue: (table, key) =>
      elements.find((one) => one.table === table && Buffer.compare(one.key, key) === 0)?.value,
    eachElement(table, each) {
      for (const one of elements) if (one.table === table) each(one.key, one.value);
    },
  };
}

const NOTHING = committedOf(new Map());

describe("the map of a frontend with affinity", () => {
  test("is the same after a restart without committed elements", () => {
    const frontends = frontendsFor(1);
    const first = frontends.map((one) => new AffinityMaps(NOTHING).mapOf(one));
    expect(frontends.map((one) => new AffinityMaps(NOTHING).mapOf(one))).toEqual(first);
  });

  test("is its own, while there are maps", () => {
    const maps = new AffinityMaps(NOTHING);
    const frontends = Array.from({ length: 600 }, (_, i) => frontendsFor(i + 1)).flat();
    const own = frontends.filter(({ family, kind }) => family === 4 && kind !== "external-ip");
    const numbers = own.map((one) => maps.mapOf(one));
    expect(new Set(numbers).size).toBe(own.length);
    expect(own.map((one) => maps.mapOf(one))).toEqual(numbers);
  });

  test("is shared if all are in use", () => {
    const maps = new AffinityMaps(NOTHING);
    const frontends = Array.from({ length: AFFINITY_MAPS + 10 }, (_, i) => frontendsFor(i + 1));
    const numbers = frontends.map(([one]) => maps.mapOf(one as Frontend));
    expect(new Set(numbers).size).toBe(AFFINITY_MAPS);
    expect(numbers.every((map) => map < AFFINITY_MAPS)).toBe(true);
  });

  test("stays as committed, and no other frontend gets it", () => {
    const [held, ...others] = Array.from({ length: 300 }, (_, i) => frontendsFor(i + 1)[0]);
    const frontend = held as Frontend;
    const wanted = new AffinityMaps(NOTHING).mapOf(others[0] as Frontend);
    const maps = new AffinityMaps(committedOf(new Map([[frontend, wanted]])));
    expect(maps.mapOf(frontend)).toBe(wanted);
    const numbers = others.map((one) => maps.mapOf(one as Frontend));
    expect(numbers).not.toContain(wanted);
  });

  test("ignores an action that Sluice does not have", () => {
    const address = Uint8Array.of(255, 255, 255, 255);
    const [frontend] = frontendsFor(1);
    const maps = new AffinityMaps(committedOf(new Map(), address));
    expect(maps.mapOf(frontend as Frontend)).toBe(
      new AffinityMaps(NOTHING).mapOf(frontend as Frontend),
    );
  });
});
