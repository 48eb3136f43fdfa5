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
  return { seen, watch: new JsonWatch(apply, () => {}), list: new JsonList(apply, () => {}) };
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
