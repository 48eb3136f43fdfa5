import { describe, expect, test } from "bun:test";
import { bookmark, event, object } from "../../harness/fakes/watch-lines.ts";
import type { JsonObject } from "../../src/base/json.ts";
import { metadataOf } from "../../src/source/object-fields.ts";
import { JsonList, JsonWatch } from "../../src/watch/json-body.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function watch() {
  const seen: string[] = [];
  const apply = (type: string, content: JsonObject) => {
    seen.push(`${type} ${metadataOf(content).name}`);
    return true;
  };
  const type = { kind: "Service", apiVersion: "v1" };
  const list = new JsonList(type, apply, () => {});
  return { seen, watch: new JsonWatch(type, apply, () => {}), list };
}

describe("a JSON watch", () => {
  const stream =
    event("ADDED", object("schön", 7)) + event("DELETED", object("b", 8)) + bookmark(9);

  test.each([1, 2, 3, 7, 64, 100_000])("is read in chunks of %p bytes", (size) => {
    const { seen, watch: body } = watch();
    const all = bytes(stream);
    let version = "";
    for (let at = 0; at < all.length; at += size) {
      version = body.feed(all.subarray(at, at + size)).resourceVersion ?? version;
    }
    expect(seen).toEqual(["ADDED schön", "DELETED b"]);
    expect(version).toBe("9");
  });

  test("reports the contents of one chunk", () => {
    const { watch: body } = watch();
    expect(body.feed(bytes(event("ADDED", object("a", 7))))).toEqual({
      objects: true,
      initialEnd: false,
      resourceVersion: "7",
    });
    expect(body.feed(bytes(bookmark(9, true)))).toEqual({
      objects: false,
      initialEnd: true,
      resourceVersion: "9",
    });
    expect(body.feed(bytes(""))).toEqual({ objects: false, initialEnd: false });
    const error = event("ERROR", { code: 410, message: "too old" });
    expect(body.feed(bytes(event("ADDED", object("b", 10)) + error))).toEqual({
      objects: true,
      initialEnd: false,
      resourceVersion: "10",
      status: { code: 410, message: "too old" },
    });
  });

  test.each(["no JSON\n", "[]\n", '{"type":"ADDED"}\n', '{"type":"SUNG","object":{}}\n'])(
    "with %p is malformed",
    (line) => {
      const { watch: body } = watch();
      expect(() => body.feed(bytes(line))).toThrow(
        expect.objectContaining({ code: "API_MALFORMED" }),
      );
    },
  );
});

describe("a JSON list", () => {
  test("is read when it is complete", () => {
    const { seen, list } = watch();
    const all = bytes(
      JSON.stringify({
        metadata: { resourceVersion: "12", continue: "more" },
        items: [object("schön", 1), object("b", 2)],
      }),
    );
    for (let at = 0; at < all.length; at += 5) list.feed(all.subarray(at, at + 5));
    expect(seen).toEqual([]);
    expect(list.end()).toEqual({
      objects: true,
      initialEnd: false,
      resourceVersion: "12",
      continueToken: "more",
      listEnd: true,
    });
    expect(seen).toEqual(["ADDED schön", "ADDED b"]);
  });

  test("may have no items", () => {
    const { list } = watch();
    list.feed(bytes('{"metadata":{"resourceVersion":"1"},"items":null}'));
    expect(list.end()).toMatchObject({ objects: false, continueToken: "" });
  });

  test.each(["", "{", "[]", '{"items":{}}', '{"items":[1]}'])("of %p is malformed", (text) => {
    const { list } = watch();
    list.feed(bytes(text));
    expect(() => list.end()).toThrow(expect.objectContaining({ code: "API_MALFORMED" }));
  });
});

describe("the type of a body", () => {
  const metadata = { resourceVersion: "12", name: "a" };
  const types = [
    ["v1", "Pod"],
    ["serving.knative.dev/v1", "Service"],
    ["v1", "Status"],
    ["meta.k8s.io/v1", "Table"],
    ["v1", 7],
  ] as const;
  const line = (type: string, apiVersion: string, kind: unknown) =>
    bytes(event(type, { apiVersion, kind, metadata }));

  test.each(types)("is wrong for a list of %s %s: nothing is applied", (apiVersion, kind) => {
    const { seen, list } = watch();
    list.feed(bytes(JSON.stringify({ apiVersion, kind: `${kind}List`, metadata, items: [] })));
    expect(() => list.end()).toThrow(expect.objectContaining({ code: "API_MALFORMED" }));
    const { seen: seenItems, list: mixed } = watch();
    const items = [{ metadata }, { apiVersion, kind, metadata }];
    mixed.feed(bytes(JSON.stringify({ kind: "ServiceList", metadata, items })));
    expect(() => mixed.end()).toThrow(expect.objectContaining({ code: "API_MALFORMED" }));
    expect([...seen, ...seenItems]).toEqual([]);
  });

  test.each(types)("is wrong for events of %s %s", (apiVersion, kind) => {
    for (const type of ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]) {
      const { seen, watch: body } = watch();
      expect(() => body.feed(line(type, apiVersion, kind))).toThrow(
        expect.objectContaining({ code: "API_MALFORMED" }),
      );
      expect(seen).toEqual([]);
    }
  });

  test.each(["List", "Service", "Status", "ServiceListList"])("is wrong for a %s", (kind) => {
    const { list } = watch();
    list.feed(bytes(JSON.stringify({ kind, apiVersion: "v1", metadata, items: [] })));
    expect(() => list.end()).toThrow("expected ServiceList of v1, but kind is ");
  });

  test("is right if it is named, or if none is named", () => {
    const { seen, list, watch: body } = watch();
    const items = [{ kind: "Service", apiVersion: "v1", metadata }, { metadata }];
    list.feed(bytes(JSON.stringify({ kind: "ServiceList", apiVersion: "v1", metadata, items })));
    list.end();
    body.feed(line("ADDED", "v1", "Service"));
    expect(seen).toEqual(["ADDED a", "ADDED a", "ADDED a"]);
  });
});
