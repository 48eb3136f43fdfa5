import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { BUILDS, createTestCore } from "../../harness/core/test-core.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import {
  choose,
  type Hint,
  type ModelEndpoint,
  type ModelService,
} from "../../harness/specification/select.ts";
import type { ServiceId } from "../../src/model/service.ts";
import { enterZone, putService, readChoices } from "./select-inputs.ts";

// Bun's default of 5 s is too short on a busy machine for every world of three endpoints.
setDefaultTimeout(PROPERTY_LIMIT_MS);

const HINTS: readonly Hint[] = ["none", "this", "other"];
const TCP = 6;
const UDP = 17;

function address4(last: number): Uint8Array {
  return Uint8Array.of(10, 0, 0, last);
}

/** All states of an endpoint at this address. */
function everyEndpoint(address: Uint8Array): ModelEndpoint[] {
  const all: ModelEndpoint[] = [];
  for (let bits = 0; bits < 16; bits++)
    for (const nodes of HINTS)
      for (const zones of HINTS)
        all.push({
          address,
          ready: (bits & 1) !== 0,
          serving: (bits & 2) !== 0,
          terminating: (bits & 4) !== 0,
          local: (bits & 8) !== 0,
          nodes,
          zones,
        });
  return all;
}

function serviceOf(...slices: readonly (readonly ModelEndpoint[])[]): ModelService {
  return {
    ports: [{ name: "http", protocol: TCP }],
    slices: slices.map((endpoints) => ({
      family: 4,
      ports: [{ name: "http", protocol: TCP, port: 8080 }],
      endpoints,
    })),
  };
}

const endpoint = (addresses: fc.Arbitrary<Uint8Array>): fc.Arbitrary<ModelEndpoint> =>
  fc.record({
    address: addresses,
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    local: fc.boolean(),
    nodes: fc.constantFrom(...HINTS),
    zones: fc.constantFrom(...HINTS),
  });
const address6 = fc
  .tuple(fc.nat(3), fc.nat(3))
  .map(([high, low]) => Uint8Array.of(0xfd, high, 0, 0, 0, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, low));
const port = fc.record({
  name: fc.constantFrom("", "http", "metrics"),
  protocol: fc.constantFrom(TCP, UDP) as fc.Arbitrary<6 | 17>,
});
const slicePort = fc
  .tuple(port, fc.constantFrom(0, 1, 80, 8080, 65535))
  .map(([{ name, protocol }, number]) => ({ name, protocol, port: number }));
const slice = fc.constantFrom(4 as const, 6 as const).chain((family) =>
  fc.record({
    family: fc.constant(family),
    ports: fc.array(slicePort, { maxLength: 3 }),
    endpoints: fc.array(
      endpoint(family === 4 ? fc.nat(40).map((last) => address4(last * 6)) : address6),
      { maxLength: 40 },
    ),
  }),
);
const service: fc.Arbitrary<ModelService> = fc.record({
  ports: fc.uniqueArray(port, { maxLength: 4, selector: ({ name, protocol }) => name + protocol }),
  slices: fc.array(slice, { maxLength: 5 }),
});

/** The model without slice ports with number 0, which the core skips by contract. */
function chooseServed({ ports, slices }: ModelService): ReturnType<typeof choose> {
  return choose({
    ports,
    slices: slices.map((each) => ({ ...each, ports: each.ports.filter(({ port }) => port !== 0) })),
  });
}

for (const build of BUILDS)
  describe(`selection (${build})`, () => {
    test("for every world of up to two endpoints, the core chooses as the model does", () => {
      const core = createTestCore(build);
      enterZone(core);
      const first = everyEndpoint(address4(1));
      const second = everyEndpoint(address4(2));
      const worlds = [
        serviceOf([]),
        ...first.map((a) => serviceOf([a])),
        ...first.flatMap((a) => second.map((b) => serviceOf([a, b]))),
      ];
      let differing = 0;
      for (const world of worlds) {
        const id = putService(core, "default/web", world);
        if (!Bun.deepEquals(readChoices(core, [id])[0], choose(world))) {
          if (differing++ === 0) expect(readChoices(core, [id])[0]).toEqual(choose(world));
        }
      }
      console.log(`  ${worlds.length} worlds of up to two endpoints (${build})`);
      expect(differing).toBe(0);
    });

    test("for every world of three endpoints with conditions and node hints, the core chooses as the model does", () => {
      const core = createTestCore(build);
      enterZone(core);
      const simple = (address: Uint8Array): ModelEndpoint[] =>
        everyEndpoint(address).filter(
          ({ zones, nodes, ready, serving }) =>
            zones === "none" && nodes !== "other" && (serving || !ready),
        );
      const worlds = simple(address4(1)).flatMap((a) =>
        simple(address4(2)).flatMap((b) => simple(address4(3)).map((c) => serviceOf([a, b], [c]))),
      );
      for (const world of worlds) {
        const id = putService(core, "default/web", world);
        const chosen = readChoices(core, [id])[0];
        if (!Bun.deepEquals(chosen, choose(world))) expect(chosen).toEqual(choose(world));
      }
      console.log(`  ${worlds.length} worlds of three endpoints (${build})`);
      expect(worlds.length).toBe(24 ** 3);
    });

    test("every pair of copies of one address is merged as the model does, in either order", () => {
      const core = createTestCore(build);
      enterZone(core);
      const copies = everyEndpoint(address4(1));
      for (const a of copies)
        for (const b of copies) {
          const forth = readChoices(core, [
            putService(core, "default/web", serviceOf([a], [b])),
          ])[0];
          const back = readChoices(core, [putService(core, "default/web", serviceOf([b], [a]))])[0];
          const model = choose(serviceOf([a], [b]));
          if (!Bun.deepEquals(forth, model)) expect(forth).toEqual(model);
          if (!Bun.deepEquals(back, model)) expect(back).toEqual(model);
        }
      expect(copies.length).toBe(144);
    });

    test("for Services with many slices, ports and both families, the core chooses as the model does", () => {
      const core = createTestCore(build);
      enterZone(core);
      assertProperty(
        "select-choices",
        fc.property(fc.array(service, { minLength: 1, maxLength: 4 }), (services) => {
          const ids = services.map((each, index) => putService(core, `default/web-${index}`, each));
          expect(readChoices(core, ids)).toEqual(services.map(chooseServed));
        }),
        { numRuns: build === "debug" ? 150 : 400, variant: build },
      );
    });

    test("the order of slices and of endpoints does not matter", () => {
      const core = createTestCore(build);
      enterZone(core);
      const shuffled = service.chain(({ ports, slices }) =>
        fc
          .tuple(
            ...slices.map((each) =>
              fc
                .shuffledSubarray([...each.endpoints], { minLength: each.endpoints.length })
                .map((endpoints) => ({ ...each, endpoints })),
            ),
          )
          .chain((moved) => fc.shuffledSubarray([...moved], { minLength: moved.length }))
          .map(
            (moved) =>
              [
                { ports, slices },
                { ports, slices: moved },
              ] as const,
          ),
      );
      assertProperty(
        "select-order",
        fc.property(shuffled, ([one, other]) => {
          const ids = [
            putService(core, "default/one", one),
            putService(core, "default/other", other),
          ];
          const [first, second] = readChoices(core, ids);
          expect(second).toEqual(first as NonNullable<typeof first>);
        }),
        { numRuns: build === "debug" ? 100 : 300, variant: build },
      );
    });

    test("thousands of endpoints, each in two slices, are sorted and without duplicates", () => {
      const core = createTestCore(build);
      const endpoints = Array.from(
        { length: 3000 },
        (_, index): ModelEndpoint => ({
          address: Uint8Array.of(10, (index * 7919) & 255, (index >> 8) & 255, index & 255),
          ready: true,
          serving: true,
          terminating: false,
          local: index % 2 === 0,
          nodes: "none",
          zones: "none",
        }),
      );
      const world = serviceOf(endpoints, endpoints.toReversed());
      expect(readChoices(core, [putService(core, "default/web", world)])[0]).toEqual(choose(world));
    });

    test("a Service that does not exist has no choices, and does not shift other Services' choices", () => {
      const core = createTestCore(build);
      const [one] = everyEndpoint(address4(1)).filter(({ ready }) => ready);
      if (!one) throw new Error("no endpoint");
      const id = putService(core, "default/web", serviceOf([one]));
      const absent = core.service("default/gone");
      core.wasm.exports.setServiceBlock(absent, 0);
      const unknown = 4711 as ServiceId;
      const results = readChoices(core, [absent, id, unknown, id]);
      expect(results.map(({ choices }) => choices.length)).toEqual([0, 2, 0, 2]);
      expect(results[3]).toEqual(choose(serviceOf([one])));
    });

    test("without a zone, zone hints do not count", () => {
      const core = createTestCore(build);
      const hinted = everyEndpoint(address4(1)).filter(
        ({ ready, zones }) => ready && zones === "this",
      );
      const [one] = hinted;
      if (!one) throw new Error("no endpoint");
      const far: ModelEndpoint = { ...one, address: address4(2), zones: "other" };
      const id = putService(core, "default/web", serviceOf([one, far]));
      expect(readChoices(core, [id])[0]?.choices[0]?.cluster).toHaveLength(2);
      enterZone(core);
      expect(readChoices(core, [id])[0]?.choices[0]?.cluster).toEqual(["0a0000011f90"]);
    });

    test("running out of memory is an error, and afterwards it works again", () => {
      const core = createTestCore(build);
      const endpoints = Array.from(
        { length: 20_000 },
        (_, index): ModelEndpoint => ({
          address: Uint8Array.of(10, 1, index >> 8, index & 255),
          ready: true,
          serving: true,
          terminating: false,
          local: false,
          nodes: "none",
          zones: "none",
        }),
      );
      const id = putService(core, "default/web", serviceOf(endpoints));
      core.wasm.exports.heapLimit(1);
      expect(() => core.select([id], () => {})).toThrow(
        expect.objectContaining({ code: "CORE_MEMORY" }),
      );
      core.wasm.exports.heapLimit(65_535);
      expect(readChoices(core, [id])[0]?.choices[0]?.cluster).toHaveLength(20_000);
    });
  });
