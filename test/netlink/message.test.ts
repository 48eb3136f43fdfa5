import { describe, expect, test } from "bun:test";
import { AttributeReader, alignTo4, MessageWriter, readText } from "../../src/netlink/message.ts";

const hex = (writer: MessageWriter) =>
  Buffer.from(writer.bytes.buffer, 0, writer.length).toString("hex");

/** Builds one message with the given attributes. Returns its bytes after the 16-byte header. */
function attributes(write: (writer: MessageWriter) => void): string {
  const writer = new MessageWriter(16);
  const start = writer.begin(1, 0, 0, 0);
  write(writer);
  writer.end(start);
  expect(writer.view.getUint32(0, true)).toBe(writer.length);
  return hex(writer).slice(32);
}

test.each([
  [0, 0],
  [1, 4],
  [4, 4],
  [5, 8],
])("%i bytes are aligned to %i", (length, aligned) => {
  expect(alignTo4(length)).toBe(aligned);
});

test("a message starts with its length, type, flags and sequence number in host order", () => {
  const writer = new MessageWriter(16);
  writer.end(writer.begin(0x0a0c, 0x0405, 7, 4));
  expect(hex(writer)).toBe("140000000c0a0504070000000000000000000000");
});

describe("an attribute", () => {
  test.each<[string, (writer: MessageWriter) => void, string]>([
    ["of a number is big-endian", (w) => w.u32(3, 0x01020304), "0800030001020304"],
    ["of a long number is big-endian", (w) => w.u64(3, 0x0102n), "0c0003000000000000000102"],
    ["of a text ends in NUL and is padded", (w) => w.text(1, "abcd"), "090001006162636400000000"],
    ["of bytes is padded", (w) => w.raw(2, Uint8Array.of(9)), "0500020009000000"],
    [
      "of attributes says so",
      (w) => {
        const outer = w.open(4);
        w.u32(1, 2);
        w.close(outer);
      },
      "0c0004800800010000000002",
    ],
  ])("%s", (_name, write, bytes) => {
    expect(attributes(write)).toBe(bytes);
  });
});

test("a buffer that is too small grows under every kind of attribute", () => {
  const large = attributes((writer) => {
    for (let i = 0; i < 100; i++) {
      const outer = writer.open(1);
      writer.u32(1, i);
      writer.u64(2, BigInt(i));
      writer.text(3, "text");
      writer.close(outer);
    }
  });
  expect(large.length).toBe(100 * 2 * (4 + 8 + 12 + 12));
});

describe("a reader", () => {
  const read = (text: string) => {
    const bytes = Uint8Array.from(Buffer.from(text, "hex"));
    const reader = new AttributeReader(bytes, 0, bytes.length);
    const found: [number, string][] = [];
    while (reader.next()) found.push([reader.type, Buffer.from(reader.payload()).toString("hex")]);
    return found;
  };

  test("finds what the writer wrote, with and without the nested flag", () => {
    expect(read("0800030001020304" + "0500028009000000")).toEqual([
      [3, "01020304"],
      [2, "09"],
    ]);
  });

  test.each([
    ["a length beyond the end", "0900030001020304"],
    ["a length below its header", "0300030001020304"],
    ["half a header", "0800"],
  ])("stops at %s", (_name, bytes) => {
    expect(read(bytes)).toEqual([]);
  });
});

test.each([
  ["with its NUL", "abc\0", "abc"],
  ["without one", "abc", "abc"],
  ["with more behind it", "abc\0xyz", "abc"],
])("a text %s is read", (_name, text, expected) => {
  const bytes = new TextEncoder().encode(text);
  expect(readText(bytes, 0, bytes.length)).toBe(expected);
});
