import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { begunProblems } from "../../harness/fakes/recorded-problems.ts";
import {
  type ApiService,
  type ApiSlice,
  modelService,
  modelSlice,
} from "../../harness/specification/ingest.ts";
import type { JsonObject } from "../../src/base/json.ts";
import type { ObjectKind } from "../../src/core/core.ts";
import { encodeWatchEvent } from "../../src/source/watch-frames.ts";
import { BUILDS, createTestCore, feed, NODE, ZONE } from "./ingest-core.ts";

interface Fixture {
  readonly name: string;
  readonly kind: ObjectKind;
  readonly json: JsonObject;
  readonly protobuf: string;
}

const folder = join(import.meta.dir, "../fixtures/protobuf");
const bytesOf = (name: string): Uint8Array => readFileSync(join(folder, name));
/** Encoded by the API's own Go types: test/fixtures/protobuf/generate.go. */
const fixtures = JSON.parse(readFileSync(join(folder, "objects.json"), "utf8")) as Fixture[];
const keyOf = (fixture: Fixture): string => `shop/${fixture.name}`;
const ofKind = (kind: ObjectKind): Fixture[] => fixtures.filter((fixture) => fixture.kind === kind);

function expected({ kind, json }: Fixture) {
  return kind === "Service"
    ? modelService(json as unknown as ApiService)
    : modelSlice(json as unknown as ApiSlice, NODE, ZONE);
}

/** The model's rows of all fixtures of a kind. */
function expectedRows(kind: ObjectKind): Record<string, unknown> {
  const rows: Record<string, unknown> = {};
  for (const fixture of ofKind(kind)) {
    const decoded = expected(fixture);
    if (decoded.outcome === "row") rows[keyOf(fixture)] = decoded.row;
  }
  return rows;
}

function service(name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject {
  return {
    metadata: { name, namespace: "shop", ...metadata },
    spec: { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }], ...spec },
  };
}

/** `k8s\0`, the start of a list in protobuf. */
const MAGIC = [0x6b, 0x38, 0x73, 0];

/** The field of a runtime.Unknown that names the type of its content. */
function typeMeta(apiVersion: string, kind: string): number[] {
  const field = (number: number, text: string) => [
    (number << 3) | 2,
    text.length,
    ...Buffer.from(text),
  ];
  const meta = [...field(1, apiVersion), ...field(2, kind)];
  return [0x0a, meta.length, ...meta];
}

describe.each(BUILDS)("ingest (%s)", (build) => {
  test.each(fixtures)(
    "$kind $name: Go's protobuf and our encoding of its JSON give the same rows",
    (fixture) => {
      const decoded = expected(fixture);
      const rows = decoded.outcome === "row" ? { [keyOf(fixture)]: decoded.row } : {};
      const place = fixture.kind === "Service" ? "services" : "slices";

      const fromGo = createTestCore(build);
      feed(fromGo.openStream(fixture.kind, "watch"), Uint8Array.fromHex(fixture.protobuf));
      expect(fromGo.rows()[place]).toEqual(rows as never);
      expect(begunProblems(fromGo.takeProblems()).map(({ field }) => field)).toEqual([
        ...decoded.problems,
      ]);

      const fromJson = createTestCore(build);
      fromJson.put(fixture.kind, fixture.json);
      expect(fromJson.rows()).toEqual(fromGo.rows());
    },
  );

  test.each([
    { kind: "Service", file: "service-list.pb", version: "4711", token: "next page" },
    { kind: "EndpointSlice", file: "slice-list.pb", version: "4712", token: "" },
  ] as const)(
    "a list of $kind objects is read in chunks of any size",
    ({ kind, file, version, token }) => {
      const bytes = bytesOf(file);
      for (const size of [1, 7, 100, bytes.length]) {
        const core = createTestCore(build);
        const stream = core.openStream(kind, "list");
        const results = [];
        for (let at = 0; at < bytes.length; at += size)
          results.push(feed(stream, bytes.subarray(at, at + size)));
        const place = kind === "Service" ? "services" : "slices";
        expect(core.rows()[place]).toEqual(expectedRows(kind) as never);
        expect(results.map((each) => each.resourceVersion).filter(Boolean)).toEqual([version]);
        expect(
          results.map((each) => each.continueToken).filter((each) => each !== undefined),
        ).toEqual([token]);
        expect(results.filter((each) => each.listEnd).length).toBe(1);
        expect(results.some((each) => each.objects)).toBe(true);
      }
    },
  );

  test("a truncated list does not report its end", () => {
    const core = createTestCore(build);
    const stream = core.openStream("Service", "list");
    const bytes = bytesOf("service-list.pb");
    // After the list, two empty fields of the envelope follow, two bytes each.
    const result = feed(stream, bytes.subarray(0, bytes.length - 5));
    expect(result.listEnd).toBeUndefined();
    expect(feed(stream, bytes.subarray(bytes.length - 5)).listEnd).toBe(true);
  });

  test("a watch brings events, bookmarks, the end of the initial events and an error", () => {
    const bytes = bytesOf("watch.pb");
    for (const size of [1, 13, bytes.length]) {
      const core = createTestCore(build);
      const stream = core.openStream("Service", "watch");
      const results = [];
      for (let at = 0; at < bytes.length; at += size)
        results.push(feed(stream, bytes.subarray(at, at + size)));
      expect(Object.keys(core.rows().services)).toEqual(["shop/dual"]);
      expect(results.filter((each) => each.initialEnd).length).toBe(1);
      expect(results.flatMap((each) => each.status ?? [])).toEqual([
        { code: 410, message: "too old resource version: 1 (2)" },
      ]);
      const versions = results.flatMap((each) => each.resourceVersion ?? []);
      expect(versions.at(-1)).toBe("1005");
      if (size === 1) expect(versions).toEqual(["1005", "5000", "5001", "1004", "1005"]);
    }
  });

  test.each([
    { name: "a frame longer than any object", bytes: [0x7f, 0, 0, 0] },
    { name: "an event without an object", bytes: [0, 0, 0, 7, 0x0a, 5, 65, 68, 68, 69, 68] },
    { name: "an empty frame", bytes: [0, 0, 0, 0] },
    { name: "an overlong varint", bytes: [0, 0, 0, 11, ...new Array<number>(11).fill(0xff)] },
    { name: "text where frames should be", bytes: [...Buffer.from('{"type":"ADDED"}')] },
  ])("a watch is malformed by $name, and stays so", ({ bytes }) => {
    const core = createTestCore(build);
    const stream = core.openStream("Service", "watch");
    expect(() => feed(stream, new Uint8Array(bytes))).toThrow(
      "decode watch of Service objects: invalid protobuf",
    );
    expect(() => feed(stream, new Uint8Array(1))).toThrow(
      "decode watch of Service objects: invalid protobuf",
    );
    stream.close();
    stream.close();
  });

  const typed = typeMeta("v1", "ServiceList");
  const emptyList = [0x12, 0];
  test.each([
    { name: "text", bytes: [...Buffer.from('{"kind"')] },
    { name: "another kind's list", bytes: [...readFileSync(join(folder, "slice-list.pb"))] },
    ...[
      typeMeta("v1", "PodList"),
      typeMeta("v1", "Service"),
      typeMeta("v1", "Status"),
      typeMeta("serving.knative.dev/v1", "ServiceList"),
      typeMeta("v1", ""),
      [],
    ].map((type) => ({
      name: `the type ${JSON.stringify(String.fromCharCode(...type))}`,
      bytes: [...MAGIC, ...type, ...emptyList],
    })),
    { name: "a list before its type", bytes: [...MAGIC, ...emptyList, ...typed] },
    {
      name: "an item longer than its list",
      bytes: [...MAGIC, ...typed, 0x12, 4, 0x12, 9, 0, 0],
    },
    {
      name: "an item larger than any object",
      bytes: [...MAGIC, ...typed, 0x12, 0xff, 0xff, 0xff, 0x7f, 0x12, 0xff, 0xff, 0xff, 0x7f],
    },
  ])("a list is malformed by $name", ({ bytes }) => {
    const stream = createTestCore(build).openStream("Service", "list");
    expect(() => feed(stream, new Uint8Array(bytes))).toThrow(
      "decode list of Service objects: invalid protobuf",
    );
  });

  test.each([
    ["v1", "Podlike"],
    ["v2", "Service"],
  ])("a watch is malformed by an event of %s %s", (apiVersion, kind) => {
    const frame = Buffer.from(encodeWatchEvent("Service", "ADDED", service("web")));
    const right = Buffer.from(typeMeta("v1", "Service"));
    // Of the same length, because the frame holds the lengths of everything around it.
    frame.set(typeMeta(apiVersion, kind), frame.indexOf(right));
    const core = createTestCore(build);
    expect(() => feed(core.openStream("Service", "watch"), frame)).toThrow("invalid protobuf");
    expect(core.rows().services).toEqual({});
  });

  test("an empty chunk has no effect", () => {
    const stream = createTestCore(build).openStream("Service", "watch");
    expect(feed(stream, new Uint8Array())).toEqual({ objects: false, initialEnd: false });
  });

  test("a malformed object is skipped with its name, and its earlier version stays", () => {
    const core = createTestCore(build);
    core.put("Service", service("web"));
    const before = core.rows();
    core.takeDirtyKeys();
    const frame = Buffer.from(
      encodeWatchEvent("Service", "MODIFIED", service("web", { externalIPs: ["192.0.2.200"] })),
    );
    // The address claims to be longer than its spec.
    frame[frame.indexOf("192.0.2.200") - 1] = 0x7f;
    const result = feed(core.openStream("Service", "watch"), frame);
    expect(result.objects).toBe(false);
    expect(core.rows()).toEqual(before);
    expect(core.takeDirtyKeys()).toEqual([]);
    expect(
      begunProblems(core.takeProblems()).map(({ subject, message }) => [subject, message]),
    ).toEqual([
      [
        "Service shop/web",
        "decode Service shop/web: invalid protobuf (Sluice keeps using the last valid version of the object)",
      ],
    ]);
  });
});
