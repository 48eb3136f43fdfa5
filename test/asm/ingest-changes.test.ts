import { describe, expect, test } from "bun:test";
import { begunProblems } from "../../harness/fakes/recorded-problems.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { BUILDS, createTestCore, feed, NODE, type TestCore } from "./ingest-core.ts";

function service(name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject {
  return {
    metadata: { name, namespace: "shop", ...metadata },
    spec: { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }], ...spec },
  };
}

function slice(
  name: string,
  of: string,
  addresses: string[],
  metadata: JsonObject = {},
): JsonObject {
  return {
    metadata: {
      name,
      namespace: "shop",
      labels: { "kubernetes.io/service-name": of },
      ...metadata,
    },
    addressType: "IPv4",
    ports: [{ name: "http", port: 8080 }],
    endpoints: addresses.map((address) => ({ addresses: [address], nodeName: NODE })),
  };
}

describe.each(BUILDS)("changes (%s)", (build) => {
  const create = (): TestCore => createTestCore(build);

  test("a Service is dirty once when it is added, changed and removed, in order", () => {
    const core = create();
    core.put("Service", service("b"));
    core.put("Service", service("a"));
    core.put("Service", service("b", { type: "NodePort" }));
    expect(core.dirtyCount()).toBe(2);
    expect(core.takeDirtyKeys()).toEqual(["shop/b", "shop/a"]);
    core.remove("Service", "shop", "b");
    expect(core.takeDirtyKeys()).toEqual(["shop/b"]);
    expect(core.remove("Service", "shop", "b")).toBe(false);
    expect(core.takeDirtyKeys()).toEqual([]);
  });

  test("dirty Services are taken oldest first, in batches", () => {
    const core = create();
    for (const name of ["a", "b", "c"]) core.put("Service", service(name));
    expect(core.takeDirty(2).map((id) => core.serviceKey(id))).toEqual(["shop/a", "shop/b"]);
    expect(core.takeDirty(2).map((id) => core.serviceKey(id))).toEqual(["shop/c"]);
    expect(core.takeDirty(2)).toEqual([]);
    core.markAllDirty();
    expect(core.dirtyCount()).toBe(3);
  });

  test("an unchanged object changes nothing: same version, or other version and same content", () => {
    const core = create();
    core.put("Service", service("web", {}, { resourceVersion: "1", uid: "u" }));
    core.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1"], { resourceVersion: "1" }));
    core.takeDirtyKeys();
    const again = { resourceVersion: "2", uid: "u", annotations: { note: "new" } };
    expect(core.put("Service", service("web", {}, { resourceVersion: "1", uid: "u" }))).toBe(false);
    expect(core.put("Service", service("web", {}, again))).toBe(false);
    expect(
      core.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1"], { resourceVersion: "2" })),
    ).toBe(false);
    expect(core.dirtyCount()).toBe(0);
    // A known version is not decoded at all, unless it has another uid.
    expect(core.put("Service", service("web", { type: "NodePort" }, again))).toBe(false);
    expect(core.put("Service", service("web", { type: "NodePort" }, { ...again, uid: "v" }))).toBe(
      true,
    );
  });

  test("a slice dirties its Service only if it exists", () => {
    const core = create();
    core.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1"]));
    expect(core.dirtyCount()).toBe(0);
    core.put("Service", service("web"));
    expect(core.takeDirtyKeys()).toEqual(["shop/web"]);
    core.put("EndpointSlice", slice("web-1", "web", ["10.1.0.2"]));
    expect(core.takeDirtyKeys()).toEqual(["shop/web"]);
    core.remove("EndpointSlice", "shop", "web-1");
    expect(core.takeDirtyKeys()).toEqual(["shop/web"]);
    expect([core.sliceCount(), core.endpointCount(), core.serviceCount()]).toEqual([0, 0, 1]);
  });

  test("a slice that moves to another Service dirties both", () => {
    const core = create();
    core.put("Service", service("web"));
    core.put("Service", service("api"));
    core.put("EndpointSlice", slice("x", "web", ["10.1.0.1"]));
    core.takeDirtyKeys();
    core.put("EndpointSlice", slice("x", "api", ["10.1.0.1"]));
    expect(core.takeDirtyKeys().sort()).toEqual(["shop/api", "shop/web"]);
    expect(core.rows().slices["shop/x"]?.service).toBe("shop/api");
    expect(core.sliceCount()).toBe(1);
  });

  test.each([
    { name: "turns headless", change: service("web", { clusterIP: "None" }) },
    { name: "turns into a name", change: service("web", { type: "ExternalName", clusterIP: "" }) },
    {
      name: "is given to another proxy",
      change: service("web", {}, { labels: { "service.kubernetes.io/service-proxy-name": "x" } }),
    },
  ])("a Service that $name is gone, and returns", ({ change }) => {
    const core = create();
    core.put("Service", service("web"));
    core.takeDirtyKeys();
    expect(core.put("Service", change)).toBe(true);
    const [id] = core.takeDirty(1);
    if (id === undefined) throw new Error("nothing is dirty");
    expect([core.serviceKey(id), core.readService(id)]).toEqual(["shop/web", undefined]);
    expect(core.put("Service", service("web"))).toBe(true);
    expect(core.serviceCount()).toBe(1);
  });

  test("an id stays valid until the next batch is taken, and is then reused", () => {
    const core = create();
    core.put("Service", service("web"));
    const [id] = core.takeDirty(1);
    core.remove("Service", "shop", "web");
    core.takeDirty(1);
    if (id === undefined) throw new Error("nothing is dirty");
    expect([core.serviceKey(id), core.findService("shop/web")]).toEqual(["shop/web", id]);
    core.takeDirty(1);
    expect([core.serviceKey(id), core.findService("shop/web")]).toEqual(["", undefined]);
    core.put("Service", service("other"));
    expect(core.findService("shop/other")).toBe(id);
    expect(core.exports.nameCount()).toBe(3); // zone, key and port
  });

  test("a slice alone keeps the id of its Service", () => {
    const core = create();
    core.put("EndpointSlice", slice("web-1", "web", ["10.1.0.1"]));
    const id = core.findService("shop/web");
    expect(id).toBeDefined();
    core.remove("EndpointSlice", "shop", "web-1");
    expect(core.findService("shop/web")).toBeUndefined();
  });

  test("a replace removes the objects of its kind that were not fed again; refused ones stay", () => {
    const core = create();
    for (const name of ["a", "b", "c"]) {
      core.put("Service", service(name, {}, { resourceVersion: "1" }));
      core.put("EndpointSlice", slice(`${name}-1`, name, ["10.1.0.1"], { resourceVersion: "1" }));
    }
    core.takeDirtyKeys();
    core.beginReplace("Service");
    core.put("Service", service("a", {}, { resourceVersion: "1" }));
    core.put("Service", service("b", { type: "Nonsense" }, { resourceVersion: "2" }));
    core.endReplace("Service");
    expect(Object.keys(core.rows().services).sort()).toEqual(["shop/a", "shop/b"]);
    expect(core.takeDirtyKeys()).toEqual(["shop/c"]);
    expect(core.sliceCount()).toBe(3);
    core.beginReplace("EndpointSlice");
    core.put("EndpointSlice", slice("b-1", "b", ["10.1.0.1"], { resourceVersion: "1" }));
    core.endReplace("EndpointSlice");
    expect(Object.keys(core.rows().slices)).toEqual(["shop/b-1"]);
    expect(core.takeDirtyKeys()).toEqual(["shop/a"]);
    // An object from an earlier watch counts as fed only from that time on.
    core.put("Service", service("d"));
    core.beginReplace("Service");
    core.endReplace("Service");
    expect(core.serviceCount()).toBe(0);
  });

  test("a new zone dirties the Services with zone hints, and evaluates their hints again", () => {
    const core = create();
    core.put("Service", service("web"));
    core.put("Service", service("api"));
    const hinted = slice("web-1", "web", ["10.1.0.1"]);
    const endpoints = [{ addresses: ["10.1.0.1"], hints: { forZones: [{ name: "zone-b" }] } }];
    core.put("EndpointSlice", { ...hinted, endpoints });
    core.put("EndpointSlice", slice("api-1", "api", ["10.1.0.2"]));
    core.takeDirtyKeys();
    const inZone = () => core.rows().slices["shop/web-1"]?.endpoints[0]?.hints.thisZone;
    expect(inZone()).toBe(false);
    core.setZone("zone-b");
    expect(inZone()).toBe(true);
    expect(core.takeDirtyKeys()).toEqual(["shop/web"]);
    core.setZone("zone-b");
    expect(core.dirtyCount()).toBe(0);
    core.setZone("");
    expect(inZone()).toBe(false);
    expect(core.takeDirtyKeys()).toEqual(["shop/web"]);
  });

  test("trigger times are reported for changed slices", () => {
    const core = create();
    const at = (time: string, version: string) => ({
      resourceVersion: version,
      annotations: { "endpoints.kubernetes.io/last-change-trigger-time": time },
    });
    core.put(
      "EndpointSlice",
      slice("a", "web", ["10.1.0.1"], at("2025-03-04T05:06:07.123456789Z", "1")),
    );
    core.put("EndpointSlice", slice("a", "web", ["10.1.0.1"], at("2025-03-04T05:06:08Z", "2")));
    core.put(
      "EndpointSlice",
      slice("b", "web", ["10.1.0.1"], at("2025-03-04T07:06:07.5+02:00", "1")),
    );
    core.put("EndpointSlice", slice("c", "web", ["10.1.0.1"], at("yesterday", "1")));
    expect(core.takeTriggerTimes()).toEqual([
      Date.parse("2025-03-04T05:06:07.123Z"),
      Date.parse("2025-03-04T05:06:07.500Z"),
    ]);
    expect(core.takeTriggerTimes()).toEqual([]);
  });

  test("an event that only names an object deletes it", () => {
    const core = create();
    core.put("Service", service("web"));
    const stream = core.openStream("Service", "watch");
    expect(
      feed(
        stream,
        encodeWatchEvent("Service", "DELETED", { metadata: { namespace: "shop", name: "web" } }),
      ).objects,
    ).toBe(true);
    expect(core.serviceCount()).toBe(0);
  });

  test.each([
    { name: "no name", metadata: { name: "", namespace: "shop" } },
    { name: "no namespace", metadata: { name: "web" } },
    { name: "a name of 254 bytes", metadata: { name: "x".repeat(254), namespace: "shop" } },
  ])("an object with $name is refused", ({ metadata }) => {
    const core = create();
    const stream = core.openStream("Service", "watch");
    const frame = encodeWatchEvent("Service", "ADDED", { ...service("web"), metadata });
    expect(feed(stream, frame).objects).toBe(false);
    expect(
      begunProblems(core.takeProblems()).map(({ subject, field }) => [subject, field]),
    ).toEqual([["Service without a name", "metadata.name"]]);
  });
});

describe.each(BUILDS)("problems (%s)", (build) => {
  const reported = (core: TestCore) =>
    core
      .takeProblems()
      .map((event) =>
        "begin" in event
          ? `${event.begin.subject}: ${event.begin.field}`
          : `${event.end.subject}: resolved`,
      );

  test("name subject, field, rule and value", () => {
    const core = createTestCore(build);
    core.put("Service", service("web", { externalIPs: ["192.0.2.1", "nonsense"] }));
    expect(begunProblems(core.takeProblems())).toEqual([
      {
        subject: "Service shop/web",
        code: "OBJECT_INVALID",
        field: "spec.externalIPs[1]",
        message: 'spec.externalIPs[1]: invalid value "nonsense": must be an IPv4 or IPv6 address',
      },
    ]);
  });

  test("name the list that has too many items", () => {
    const core = createTestCore(build);
    core.put("Service", service("web", { externalIPs: new Array<string>(8193).fill("192.0.2.1") }));
    expect(begunProblems(core.takeProblems())).toMatchObject([
      {
        field: "spec.externalIPs",
        message: expect.stringContaining("spec.externalIPs: too many items: must be at most 8192"),
      },
    ]);
  });

  test("print a number without quotes", () => {
    const core = createTestCore(build);
    core.put("Service", service("web", { ports: [{ port: 70_000 }] }));
    expect(begunProblems(core.takeProblems()).map(({ message }) => message)).toEqual([
      "spec.ports[0].port: invalid value 70000: must be between 1 and 65535",
    ]);
  });

  test("are void when the object is fixed, changed for the worse, or gone", () => {
    const core = createTestCore(build);
    core.put("Service", service("web", { externalIPs: ["x", "y"] }));
    expect(reported(core)).toEqual([
      "Service shop/web: spec.externalIPs[0]",
      "Service shop/web: spec.externalIPs[1]",
    ]);
    core.put("Service", service("web", { externalIPs: ["10.0.0.1", "y"] }));
    expect(reported(core)).toEqual([
      "Service shop/web: resolved",
      "Service shop/web: spec.externalIPs[1]",
    ]);
    core.put("Service", service("web"));
    expect(reported(core)).toEqual(["Service shop/web: resolved"]);
    core.put("Service", service("web", { type: "Odd" }));
    core.remove("Service", "shop", "web");
    expect(reported(core)).toEqual(["Service shop/web: spec.type", "Service shop/web: resolved"]);
    core.put("EndpointSlice", { ...slice("s", "web", []), addressType: "IPv5" });
    core.beginReplace("EndpointSlice");
    core.endReplace("EndpointSlice");
    expect(reported(core)).toEqual([
      "EndpointSlice shop/s: addressType",
      "EndpointSlice shop/s: resolved",
    ]);
    core.put("Service", service("web"));
    expect(reported(core)).toEqual([]);
  });

  test("are not found in a slice of host names, which replaces one of addresses", () => {
    const core = createTestCore(build);
    core.put("Service", service("web"));
    core.put("EndpointSlice", slice("s", "web", ["10.0.0.1"]));
    expect([core.sliceCount(), core.endpointCount()]).toEqual([1, 1]);
    const hosts = { ...slice("s", "web", ["example.com"]), addressType: "FQDN" };
    core.put("EndpointSlice", hosts);
    expect([core.sliceCount(), core.endpointCount()]).toEqual([0, 0]);
    expect(reported(core)).toEqual([]);
  });

  test("of an unchanged object are not reported again, and survive a replace", () => {
    const core = createTestCore(build);
    const wrong = service("web", { externalIPs: ["x"] }, { resourceVersion: "1" });
    core.put("Service", wrong);
    core.takeProblems();
    core.beginReplace("Service");
    core.put("Service", wrong);
    core.endReplace("Service");
    expect(reported(core)).toEqual([]);
  });

  test("a Service and a slice with the same name have separate problems", () => {
    const core = createTestCore(build);
    core.put("Service", service("web", { externalIPs: ["x"] }));
    core.put("EndpointSlice", slice("web", "web", ["x"]));
    core.takeProblems();
    core.remove("EndpointSlice", "shop", "web");
    expect(reported(core)).toEqual(["EndpointSlice shop/web: resolved"]);
    core.remove("Service", "shop", "web");
    expect(reported(core)).toEqual(["Service shop/web: resolved"]);
  });

  test("of one object are reported up to a limit, with long values truncated", () => {
    const core = createTestCore(build);
    core.put("EndpointSlice", slice("web-1", "web", new Array<string>(100).fill("y".repeat(1000))));
    const problems = begunProblems(core.takeProblems());
    expect(problems.length).toBe(32);
    expect(problems[31]?.message.length).toBeLessThan(450);
  });
});
