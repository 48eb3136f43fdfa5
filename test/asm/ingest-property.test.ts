import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { begunProblems } from "../../harness/fakes/recorded-problems.ts";
import { assertProperty, PROPERTY_LIMIT_MS } from "../../harness/property.ts";
import {
  type ApiService,
  type ApiSlice,
  modelService,
  modelSlice,
} from "../../harness/specification/ingest.ts";
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { ObjectKind } from "../../src/core/core.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import {
  BUILDS,
  createTestCore,
  feed,
  NODE,
  type Rows,
  type TestCore,
  ZONE,
} from "./ingest-core.ts";
import { anyService, anySlice } from "./random-objects.ts";

type Step =
  | { readonly kind: "Service"; readonly object: ApiService; readonly remove: boolean }
  | { readonly kind: "EndpointSlice"; readonly object: ApiSlice; readonly remove: boolean };

/** The node's zone. */
const NAMES_OF_AN_EMPTY_CORE = 1;
const RUNS = { debug: 20, release: 40 };

const remove = fc.nat(5).map((dice) => dice === 0);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant("Service" as const), object: anyService, remove }),
  fc.record({ kind: fc.constant("EndpointSlice" as const), object: anySlice, remove }),
);
const anyHistory = fc.array(anyStep, { minLength: 1, maxLength: 25 });

/** The expected contents after the steps so far. */
class Model {
  readonly services: Record<string, Rows["services"][string]> = {};
  readonly slices: Record<string, Rows["slices"][string]> = {};

  /** The problems that the step must raise, by field. */
  apply({ kind, object, remove: gone }: Step): readonly string[] {
    const table: Record<string, unknown> = kind === "Service" ? this.services : this.slices;
    const key = `${object.metadata.namespace}/${object.metadata.name}`;
    if (gone) {
      delete table[key];
      return [];
    }
    const decoded = kind === "Service" ? modelService(object) : modelSlice(object, NODE, ZONE);
    if (decoded.outcome === "row") table[key] = decoded.row;
    else if (decoded.outcome === "absent") delete table[key];
    return decoded.problems;
  }
}

function frameOf({ kind, object, remove: gone }: Step, version: number): Uint8Array {
  return encodeWatchEvent(kind, gone ? "DELETED" : "ADDED", {
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(version) },
  } as unknown as JsonObject);
}

/** Feeds one step; returns whether it changed anything. */
function playStep(core: TestCore, step: Step, version: number): boolean {
  const stream = core.openStream(step.kind, "watch");
  const { objects } = feed(stream, frameOf(step, version));
  stream.close();
  return objects;
}

function play(core: TestCore, steps: readonly Step[]): void {
  const streams = {
    Service: core.openStream("Service", "watch"),
    EndpointSlice: core.openStream("EndpointSlice", "watch"),
  };
  for (const [index, step] of steps.entries()) {
    feed(streams[step.kind], frameOf(step, index + 1));
  }
  streams.Service.close();
  streams.EndpointSlice.close();
}

describe.each(BUILDS)("the core decodes as the model does (%s)", (build) => {
  test(
    "after each step of a random history",
    () => {
      assertProperty(
        "ingest-history",
        fc.property(anyHistory, (steps) => {
          const core = createTestCore(build);
          const model = new Model();
          for (const [index, step] of steps.entries()) {
            const expected = model.apply(step);
            playStep(core, step, index);
            expect(core.rows()).toEqual({ services: model.services, slices: model.slices });
            const reported = begunProblems(core.takeProblems()).map(({ field }) => field);
            expect(reported.sort()).toEqual([...expected].sort());
            core.takeDirty(100);
            expect(playStep(core, step, index + 1000)).toBe(false);
            expect(core.dirtyCount()).toBe(0);
            core.takeProblems();
          }
          expect(core.serviceCount()).toBe(Object.keys(model.services).length);
          expect(core.sliceCount()).toBe(Object.keys(model.slices).length);
          const rows = Object.values(model.slices).flatMap(({ endpoints }) => endpoints);
          expect(core.endpointCount()).toBe(rows.length);
        }),
        { numRuns: RUNS[build], variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test(
    "with bytes in any chunks",
    () => {
      assertProperty(
        "ingest-chunks",
        fc.property(
          anyHistory,
          fc.infiniteStream(fc.integer({ min: 1, max: 300 })),
          (steps, sizes) => {
            const whole = createTestCore(build);
            play(whole, steps);
            const cut = createTestCore(build);
            for (const kind of ["Service", "EndpointSlice"] as const satisfies ObjectKind[]) {
              const stream = cut.openStream(kind, "watch");
              const frames = steps.map((step, i) =>
                step.kind === kind ? frameOf(step, i + 1) : new Uint8Array(),
              );
              const bytes = Buffer.concat(frames);
              for (let at = 0; at < bytes.length; ) {
                const size = Math.min(sizes.next().value as number, bytes.length - at);
                feed(stream, bytes.subarray(at, at + size));
                at += size;
              }
              stream.close();
            }
            expect(cut.rows()).toEqual(whole.rows());
          },
        ),
        { numRuns: RUNS[build] / 2, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test(
    "and corrupted bytes are an error of the object or of the stream, never a trap",
    () => {
      const damage = fc.array(fc.tuple(fc.nat(100_000), fc.nat(255)), {
        minLength: 1,
        maxLength: 4,
      });
      assertProperty(
        "ingest-corruption",
        fc.property(anyHistory, damage, fc.boolean(), (steps, hits, keepLength) => {
          const core = createTestCore(build);
          play(core, steps);
          const stream = core.openStream(steps[0]?.kind ?? "Service", "watch");
          const bytes = Buffer.concat(steps.map((step, i) => frameOf(step, i + 100)));
          for (const [place, value] of hits) {
            const at = place % bytes.length;
            // Keeping the first frame's length lets the corruption reach the decoders.
            if (!keepLength || at >= 4) bytes[at] = value;
          }
          try {
            feed(stream, bytes);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(SluiceError);
            expect((thrown as SluiceError).code).toBe("API_MALFORMED");
            expect(() => feed(stream, new Uint8Array(1))).toThrow("decode watch of ");
          }
          stream.close();
          const slices = Object.values(core.rows().slices);
          expect(core.sliceCount()).toBe(slices.length);
          expect(core.endpointCount()).toBe(slices.flatMap(({ endpoints }) => endpoints).length);
          core.empty();
          expect(core.rows()).toEqual({ services: {}, slices: {} });
          expect(core.exports.nameCount()).toBe(NAMES_OF_AN_EMPTY_CORE);
        }),
        { numRuns: RUNS[build] * 2, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );

  test(
    "and deleting everything frees all memory",
    () => {
      assertProperty(
        "ingest-memory",
        fc.property(anyHistory, (steps) => {
          const core = createTestCore(build);
          // Permanent growth happens in the first round: tables, regions, the builder.
          const used = [0, 1].map(() => {
            play(core, steps);
            core.empty();
            return core.exports.heapUsed();
          });
          expect(used[1]).toBe(used[0] as number);
          expect(core.exports.nameCount()).toBe(NAMES_OF_AN_EMPTY_CORE);
        }),
        { numRuns: RUNS[build] / 2, variant: build },
      );
    },
    PROPERTY_LIMIT_MS,
  );
});
