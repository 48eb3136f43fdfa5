import { describe, expect, test } from "bun:test";
import { SluiceError } from "../../src/base/errors.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { BUILDS, createTestCore, type TestCore } from "./ingest-core.ts";

const PAGE = 65_536;

function serviceFrame(i: number): Uint8Array {
  return encodeWatchEvent("Service", "ADDED", {
    metadata: { name: `web-${i}`, namespace: "shop", resourceVersion: `${i}` },
    spec: {
      clusterIP: "10.96.0.1",
      ports: [{ name: `port-${i}`, port: 80 }],
      externalIPs: Array.from({ length: 20 }, (_, at) => `192.0.2.${at}`),
    },
  });
}

function sliceFrame(i: number): Uint8Array {
  return encodeWatchEvent("EndpointSlice", "ADDED", {
    metadata: {
      name: `web-${i}-x`,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": `web-${i}` },
    },
    addressType: "IPv6",
    ports: [{ name: `port-${i}`, port: 8080 }],
    endpoints: Array.from({ length: 20 }, (_, at) => ({
      addresses: [`fd00::${i.toString(16)}:${at.toString(16)}`],
      nodeName: "node-a",
      hints: { forZones: [{ name: `zone-${i}-${at}` }] },
    })),
  });
}

/** Feeds Services and slices in turn until memory is exhausted. Returns the number of each. */
function fill(core: TestCore): number {
  for (let i = 0; i < 20_000; i++) {
    for (const put of [
      () => core.feed("Service", serviceFrame(i)),
      () => core.feed("EndpointSlice", sliceFrame(i)),
    ]) {
      const before = [core.serviceCount(), core.sliceCount(), core.endpointCount()];
      try {
        put();
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(SluiceError);
        expect((thrown as SluiceError).code).toBe("CORE_MEMORY");
        expect([core.serviceCount(), core.sliceCount(), core.endpointCount()]).toEqual(before);
        return i;
      }
    }
  }
  return 20_000;
}

describe.each(BUILDS)("memory that cannot grow (%s)", (build) => {
  // Every few pages, another allocation is the one that fails.
  test.each([8, 12, 15, 30])(
    "of %d pages is an error, and the tables stay intact",
    (pages) => {
      const core = createTestCore(build, pages * PAGE);
      const fed = fill(core);
      expect(fed).toBeLessThan(20_000);
      expect(core.memoryBytes()).toBeLessThanOrEqual(pages * PAGE);
      const { services, slices } = core.rows();
      expect(Object.keys(services).length).toBe(core.serviceCount());
      expect(Object.keys(slices).length).toBe(core.sliceCount());
      expect(fed).toBeGreaterThan(0);
      core.empty();
      expect(core.exports.nameCount()).toBe(1);
      // Freed memory is usable again.
      expect(fill(core)).toBeGreaterThan(fed * 0.9);
    },
    60_000,
  );

  test("an absurd chunk size is refused, not reserved", () => {
    const stream = createTestCore(build).openStream("Service", "watch");
    expect(() => stream.reserve(0x7fff_ffff)).toThrow(SluiceError);
  });
});
