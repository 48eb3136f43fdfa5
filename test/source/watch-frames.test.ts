import { describe, expect, test } from "bun:test";
import { SluiceError } from "../../src/base/errors.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";

const metadata = { name: "web", namespace: "shop" };

function hex(kind: "Service" | "EndpointSlice", object: JsonObject): string {
  return encodeWatchEvent(kind, "ADDED", object).toHex();
}

// test/asm/ingest.test.ts checks that the core decodes these frames like Go's own bytes.
describe("encodeWatchEvent", () => {
  test("writes a frame of a WatchEvent around k8s\\0 and an Unknown", () => {
    expect(
      encodeWatchEvent("Service", "DELETED", {
        metadata: { namespace: "shop", name: "web" },
      }).toHex(),
    ).toBe(
      [
        "0000002f", // length
        "0a0744454c45544544", // WatchEvent.type: DELETED
        "1224", // WatchEvent.object
        "0a22", // RawExtension.raw
        "6b387300", // k8s\0
        "0a0d0a027631120753657276696365", // Unknown.typeMeta: v1, Service
        "120d", // Unknown.raw
        "0a0b0a037765621a0473686f70", // metadata: web, shop
      ].join(""),
    );
  });

  test("lengths beyond one byte and negative numbers follow protobuf's encoding", () => {
    const long = "x".repeat(300);
    expect(hex("Service", { metadata: { ...metadata, uid: long } })).toContain(
      `2aac02${Buffer.from(long).toString("hex")}`,
    );
    const port = { port: -1 };
    expect(hex("Service", { metadata, spec: { ports: [port] } })).toContain(
      "0a0b18ffffffffffffffffff01",
    );
    expect(
      hex("Service", { metadata: { ...metadata, creationTimestamp: "2038-01-19T03:14:08Z" } }),
    ).toContain("4206088080808008");
  });

  test("null is the same as absent, and unknown fields are left out", () => {
    const bare = { metadata, spec: { ports: [{ port: 80 }] } };
    const verbose = {
      apiVersion: "v1",
      metadata: { ...metadata, creationTimestamp: null, labels: null, managedFields: [1] },
      spec: {
        ports: [{ port: 80, name: null, targetPort: "web" }],
        externalIPs: null,
        selector: { app: "web" },
        sessionAffinityConfig: null,
      },
      status: null,
    };
    expect(hex("Service", verbose)).toBe(hex("Service", bare));
  });

  test.each([
    ["spec.ports[0].port", { spec: { ports: [{ port: "http" }] } }, '"http"'],
    ["spec.ports[0].port", { spec: { ports: [{ port: 80.5 }] } }, "80.5"],
    ["spec.ports[1].nodePort", { spec: { ports: [{}, { nodePort: 2 ** 31 }] } }, "2147483648"],
    ["spec.ports[0]", { spec: { ports: ["80"] } }, '"80"'],
    ["spec.ports", { spec: { ports: {} } }, "{}"],
    ["spec", { spec: [] }, "[]"],
    ["spec.type", { spec: { type: 1 } }, "1"],
    ["spec.externalIPs[1]", { spec: { externalIPs: ["10.0.0.1", 10] } }, "10"],
    ["spec.clusterIPs", { spec: { clusterIPs: "10.0.0.1" } }, '"10.0.0.1"'],
    [
      "spec.sessionAffinityConfig.clientIP.timeoutSeconds",
      { spec: { sessionAffinityConfig: { clientIP: { timeoutSeconds: "1h" } } } },
      '"1h"',
    ],
    [
      "metadata.creationTimestamp",
      { metadata: { ...metadata, creationTimestamp: "yesterday" } },
      '"yesterday"',
    ],
    ["metadata.labels.app", { metadata: { ...metadata, labels: { app: true } } }, "true"],
    [
      "status.loadBalancer.ingress[0].ip",
      { status: { loadBalancer: { ingress: [{ ip: false }] } } },
      "false",
    ],
  ] as const)(
    "a Service with a wrong %s is refused, naming field and value",
    (field, part, value) => {
      const encode = () =>
        encodeWatchEvent("Service", "ADDED", { metadata, ...part } as JsonObject);
      expect(encode).toThrow(SluiceError);
      expect(encode).toThrow(`Service shop/web: ${field}: invalid value ${value}: must be`);
    },
  );

  test.each([
    ["addressType", { addressType: 4 }],
    ["endpoints[0].addresses", { endpoints: [{ addresses: "10.0.0.1" }] }],
    ["endpoints[0].conditions.ready", { endpoints: [{ conditions: { ready: "yes" } }] }],
    [
      "endpoints[1].hints.forZones[0].name",
      { endpoints: [{}, { hints: { forZones: [{ name: 1 }] } }] },
    ],
    ["ports[0].port", { ports: [{ port: "80" }] }],
  ] as const)("an EndpointSlice with a wrong %s is refused", (field, part) => {
    expect(() =>
      encodeWatchEvent("EndpointSlice", "ADDED", { metadata, ...part } as JsonObject),
    ).toThrow(`EndpointSlice shop/web: ${field}: invalid value `);
  });

  test.each([
    ["labels", "foo"],
    ["annotations", ["x"]],
    ["labels", { a: 1 }],
  ] as const)("a Service with wrong %s is refused by its own name: %p", (field, value) => {
    const content = { metadata: { ...metadata, [field]: value } };
    expect(() => encodeWatchEvent("Service", "ADDED", content)).toThrow(
      new RegExp(`^Service shop/web: metadata\\.${field}.*: invalid value .*: must be`),
    );
  });

  test("a refused object does not affect the next one", () => {
    const before = hex("Service", { metadata, spec: { clusterIP: "10.0.0.1" } });
    expect(() => hex("Service", { metadata, spec: { ports: [{ port: "x" }] } })).toThrow(
      SluiceError,
    );
    expect(hex("Service", { metadata, spec: { clusterIP: "10.0.0.1" } })).toBe(before);
  });
});
