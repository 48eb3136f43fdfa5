/**
 * Checks that drawings, constants and all accesses of records in the core's memory agree.
 * asm/index.ts explains the drawings.
 */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");
/**
 * The other side of the boundary, and code that writes and reads records for tests and
 * measurements.
 */
const HOST_FOLDERS = ["src", "test", "harness", "bench"];

interface Field {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
}

interface Drawing {
  readonly file: string;
  readonly record: string;
  /** The constant that holds the size. */
  readonly sizeName: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

interface Constant {
  readonly name: string;
  readonly type: string;
  readonly value: number;
}

/**
 * One `load`, `store` or method of a DataView. `offset` is undefined if the address has no offset.
 */
interface Access {
  readonly where: string;
  readonly width: number;
  readonly address: string;
  readonly offset?: string | undefined;
}

const WIDTHS: Readonly<Record<string, number>> = {
  i8: 1,
  u8: 1,
  bool: 1,
  i16: 2,
  u16: 2,
  u16be: 2,
  i32: 4,
  u32: 4,
  f32: 4,
  i64: 8,
  u64: 8,
  f64: 8,
};

/**
 * Addresses of single numbers, not of a record's start: array elements, addresses in network order,
 * text.
 */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  "asm/committed/batch.ts": ["counter"],
  "asm/committed/numbers.ts": ["number", "added"],
  "asm/committed/slots.ts": ["bucket", "link"],
  "asm/flows/flow-endpoints.ts": ["address"],
  "asm/flows/flow-entries.ts": ["value"],
  "asm/flows/check-entries.ts": ["key", "destination"],
  "asm/ingest/decode-slice.ts": ["parsedAddress", "at"],
  "asm/ingest/feed-list.ts": ["state", "rest", "at"],
  "asm/ingest/feed-watch.ts": ["rawAt"],
  "asm/ingest/text.ts": ["parsedAddress", "at"],
  "asm/memory/bytes.ts": ["to", "from"],
  "asm/memory/hash.ts": ["at"],
  "asm/memory/heap.ts": ["list"],
  "asm/select/rows.ts": ["address"],
  "asm/select/select.ts": ["at"],
};

/** Intended accesses to several fields as one number. */
const WHOLE: Readonly<Record<string, readonly string[]>> = {
  "asm/committed/operations.ts": ["OP_KIND"],
  "asm/memory/table.ts": ["SLOT_HASH"],
};

const coreFiles = sources("asm");
const drawings = coreFiles.flatMap(({ file, text }) => drawingsOf(file, text));
const constants = new Map(coreFiles.map(({ file, text }) => [file, constantsOf(text)] as const));
const shared = coreFiles
  .filter(({ file }) => file.startsWith("asm/layout/"))
  .flatMap(({ file }) => constants.get(file) ?? []);

test("records are found, and names are unique", () => {
  expect(drawings.length).toBeGreaterThan(25);
  const names = shared.map(({ name }) => name);
  expect(names).toEqual([...new Set(names)]);
  const records = drawings.map(({ record }) => record);
  expect(records).toEqual([...new Set(records)]);
});

test.each(drawings.map((one) => [`${one.record} (${one.file})`, one] as const))(
  "%s: the drawing has no gaps, and matches the constants",
  (_, { file, record, sizeName, size, fields }) => {
    const own = constants.get(file) ?? [];
    let next = 0;
    for (const field of fields) {
      expect(`${field.name} at ${field.offset}`).toBe(`${field.name} at ${next}`);
      next += bytesOf(field.type, own);
    }
    expect(next).toBe(size);
    const drawn = fields
      .filter(({ name }) => name !== "-")
      .map(({ name, offset }) => `${record}_${name} = ${offset}`);
    const wanted = [...drawn, `${sizeName} = ${size}`].sort();
    const found = own
      .filter(
        ({ name, type }) =>
          name === sizeName || (type === "usize" && recordOf(file, name) === record),
      )
      .map(({ name, value }) => `${name} = ${value}`);
    expect(found.sort()).toEqual(wanted);
  },
);

test("no access in the core has a number for an offset", () => {
  const wrong = coreAccesses().filter(
    ({ address, offset }) => hasNumber(offset ?? "") || hasNumber(withoutIndex(address)),
  );
  expect(wrong.map(described)).toEqual([]);
});

test("an access without an offset is to a single number, or to a byte of text", () => {
  const wrong = coreAccesses().filter(({ where, width, address, offset }) => {
    if (offset !== undefined || width === 1 || !/^\w+$/.test(address)) return false;
    return !(PLACES[where.split(":")[0] ?? ""] ?? []).includes(address);
  });
  expect(wrong.map(described)).toEqual([]);
});

test("an access in the core has the width of the field, or of field and padding", () => {
  const wrong = coreAccesses().filter(({ where, width, offset }) => {
    const file = where.split(":")[0] ?? "";
    if (offset === undefined || WHOLE[file]?.includes(offset)) return false;
    return !fits(fieldOf(offset, file), width);
  });
  expect(wrong.map(described)).toEqual([]);
});

test("static memory of the core is reserved by named sizes", () => {
  const wrong = coreFiles.flatMap(({ file, text }) =>
    [...text.matchAll(/memory\.data\((.*)\);/g)]
      .map(([, size = ""]) => size)
      .filter((size) => /^[^A-Za-z]*$/.test(size))
      .map((size) => `${file}: ${size}`),
  );
  expect(wrong).toEqual([]);
});

/** Host files that read or write records, or keys and values of tables. */
const hostFiles = HOST_FOLDERS.flatMap(sources).filter(
  ({ file, text }) =>
    /"[./]+\/asm\/layout\/(?!fields\.ts")/.test(text) || file === "src/model/table-keys.ts",
);

test("the host reads and writes fields of records by name, with their width", () => {
  expect(hostFiles.length).toBeGreaterThan(25);
  const accesses = hostFiles.flatMap(({ file, text }) => hostAccesses(file, text));
  expect(accesses.length).toBeGreaterThan(100);
  expect(accesses.filter(isWrong).map(described)).toEqual([]);
});

test("the host computes offsets and sizes of records from names", () => {
  const files = hostFiles.filter(({ file }) => file.startsWith("src/"));
  expect(files.length).toBeGreaterThan(15);
  expect(files.flatMap(({ file, text }) => bareNumbers(file, text))).toEqual([]);
});

test.each([
  ["src/core/diff-calls.ts", ["READ_HEADER", "READ_OWNER"]],
  ["src/core/problem-records.ts", ["PROBLEM_HEADER", "PROBLEM_INDEX", "PROBLEM_RULE"]],
  ["src/core/service-block.ts", ["ADDRESS_IP", "PORT_NAME", "SERVICE_FLAGS", "SERVICE_HEADER"]],
  ["src/model/operation-list.ts", ["OP_HEADER", "OP_KIND", "OP_OWNER", "OP_TABLE"]],
  ["src/model/print.ts", ["ENDPOINT4_PORT", "ENDPOINT6_PORT"]],
  ["src/nftables/wire/sort-operations.ts", ["OP_HEADER", "OP_KIND", "OP_OWNER", "OP_TABLE"]],
  ["src/plan/desired.ts", ["DESIRED_HEADER", "DESIRED_OWNER", "DESIRED_TABLE", "KEY_PORT"]],
])("in %s, a number in place of %p is found", (file, names) => {
  const text = readFileSync(join(ROOT, file), "utf8").replaceAll(/^import [^;]*;$/gm, "");
  for (const name of names) {
    const value = shared.find((constant) => constant.name === name)?.value;
    const changed = text.replaceAll(new RegExp(`\\b${name}\\b`, "g"), `${value}`);
    expect(changed).not.toBe(text);
    const found = [...hostAccesses(file, changed).filter(isWrong), ...bareNumbers(file, changed)];
    expect(`${name}: ${found.length > 0}`).toBe(`${name}: true`);
  }
});

// ── Reading ──

function sources(folder: string): { readonly file: string; readonly text: string }[] {
  return readdirSync(join(ROOT, folder), { encoding: "utf8", recursive: true })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"))
    .sort()
    .map((name) => {
      const file = `${folder}/${name}`;
      return { file, text: readFileSync(join(ROOT, file), "utf8") };
    });
}

/**
 * A drawing is the comment lines from its heading to the next heading or the end of the comment.
 */
function drawingsOf(file: string, text: string): Drawing[] {
  return text.split(/^(?!\/\/)/m).flatMap((block) =>
    [
      ...block.matchAll(/^\/\/ Record (\w+), (\w+) = (\d+) bytes(.*(?:\n\/\/(?! Record ).*)*)/gm),
    ].map(([, record = "", sizeName = "", size, lines = ""]) => ({
      file,
      record,
      sizeName,
      size: Number(size),
      fields: [...lines.matchAll(/(?<=\s)(\d+) (\S+(?:\[\w*\])?) ([A-Z][A-Z0-9_]*|-)(?=[:\s]|$)/g)]
        .map(([, offset, type = "", name = ""]) => ({ offset: Number(offset), type, name }))
        .sort((a, b) => a.offset - b.offset),
    })),
  );
}

function constantsOf(text: string): Constant[] {
  return [...text.matchAll(/^(?:export )?const (\w+): (\w+) = (-?[\da-fx_]+);/gm)].map(
    ([, name = "", type = "", value = ""]) => ({
      name,
      type,
      value: Number(value.replaceAll("_", "")),
    }),
  );
}

/** The record of this file that a constant belongs to. The longest matching name wins. */
function recordOf(file: string, constant: string): string | undefined {
  return drawings
    .filter((one) => one.file === file && constant.startsWith(`${one.record}_`))
    .map(({ record }) => record)
    .sort((a, b) => b.length - a.length)[0];
}

/** `u32`, `u8[16]`, `u8[NAME]`, `SPAN`; `u8[]` is as long as it is. */
function bytesOf(type: string, own: readonly Constant[]): number {
  const [, element = "", count] = /^(\w+?)(?:\[(\w*)\])?$/.exec(type) ?? [];
  const size = WIDTHS[element] ?? drawings.find(({ record }) => record === element)?.size;
  if (size === undefined) throw new Error(`no type of a field: ${type}`);
  if (count === undefined) return size;
  if (count === "") return 0;
  const times = /^\d+$/.test(count) ? Number(count) : own.find(({ name }) => name === count)?.value;
  if (times === undefined) throw new Error(`no constant: ${count}`);
  return size * times;
}

interface Found {
  readonly drawing: Drawing;
  readonly field: Field;
}

/** The field with this constant: by a record of this file, then by one of the boundary. */
function fieldOf(constant: string, file: string): Found | undefined {
  const found = drawings.flatMap((drawing) =>
    drawing.fields
      .filter(({ name }) => `${drawing.record}_${name}` === constant)
      .map((field) => ({ drawing, field })),
  );
  return found.find(({ drawing }) => drawing.file === file) ?? found[0];
}

/**
 * Whether an access of this many bytes covers the field, or also the padding after it. Any access
 * within bytes is valid.
 */
function fits(found: Found | undefined, width: number): boolean {
  if (found === undefined) return true;
  const { drawing, field } = found;
  if (field.type.includes("[")) return true;
  const end = field.offset + width;
  const covered = drawing.fields.filter(({ offset }) => offset >= field.offset && offset < end);
  const ends = end === drawing.size || drawing.fields.some(({ offset }) => offset === end);
  return ends && covered.slice(1).every(({ name }) => name === "-");
}

function coreAccesses(): Access[] {
  return coreFiles.flatMap(({ file, text }) =>
    [...text.matchAll(/\b(load|store)<(\w+)>\(/g)].map((match) => {
      const [first, second, third] = argumentsAt(text, match.index + match[0].length);
      return {
        where: `${file}:${text.slice(0, match.index).split("\n").length}`,
        width: WIDTHS[match[2] ?? ""] ?? 0,
        address: first ?? "",
        offset: match[1] === "load" ? second : third,
      };
    }),
  );
}

/** Calls by which the host reads or writes a number, with the index of the address argument. */
const HOST_CALLS: readonly (readonly [call: RegExp, place: number])[] = [
  [/\.[gs]et(?:Big)?(?:Int|Uint|Float)(\d+)\(/g, 0],
  [/(?<!function )\b(?:read|write)U(\d+)(?:[BL]E)?\(/g, 1],
];

function hostAccesses(file: string, text: string): Access[] {
  const at = (index: number) => `${file}:${text.slice(0, index).split("\n").length}`;
  const calls = HOST_CALLS.flatMap(([call, place]) =>
    [...text.matchAll(call)].map((match) => ({
      where: at(match.index),
      width: Number(match[1]) / 8,
      address: argumentsAt(text, match.index + match[0].length)[place] ?? "",
    })),
  );
  const words = [...text.matchAll(/\[([^[\]]*)>>> 2\]/g)].map((match) => ({
    where: at(match.index),
    width: 4,
    address: match[1] ?? "",
  }));
  const bytes = [...text.matchAll(/\b(?:region|memory)\[([^[\]]*)\]/g)].map((match) => ({
    where: at(match.index),
    width: 1,
    address: match[1] ?? "",
  }));
  return [...calls, ...words, ...bytes];
}

/** An access is wrong if its address contains a number, or names a field of another width. */
function isWrong({ width, address }: Access): boolean {
  if (/[+-]\s*\d/.test(address) || /^[1-9]\d*$/.test(address)) return true;
  const names = address.match(/\b[A-Z][A-Z0-9_]+\b/g) ?? [];
  return names.some((name) => !fits(fieldOf(name, "asm/layout/"), width));
}

/**
 * Patterns of numbers that are offsets or sizes: terms of a sum, factors, choices between sizes,
 * bounds of a slice. The number 1 is allowed, because it is a step to the next index.
 */
const BARE_NUMBERS: readonly RegExp[] = [
  /[+-]=?\s*(?:0|[2-9]|\d{2,})\b/,
  /(?<![\w.]|[*/]\s)(?:0|[2-9]|\d{2,})\s*[+-]/,
  /[*/]\s*(?:4|8|12|16|20|24|28)\b|(?<![\w.])(?:4|8|12|16|20|24|28)\s*\*/,
  /[?:]\s*(?:8|16|20)\b/,
  /\b(?:subarray|slice)\(.*(?<![\w.]|>>\s)(?:[2-9]|\d{2,})\b/,
];

/** Returns the lines of code that match BARE_NUMBERS. Strings and comments are ignored. */
function bareNumbers(file: string, text: string): string[] {
  return text.split("\n").flatMap((line, index) => {
    const code = line.replace(/"[^"]*"|`[^`$]*`/g, '""').replace(/\/\/.*|^\s*\/?\*.*/, "");
    const found = BARE_NUMBERS.some((pattern) => pattern.test(code));
    return found ? [`${file}:${index + 1}: ${line.trim()}`] : [];
  });
}

/** The arguments of a call, after its parenthesis. */
function argumentsAt(text: string, from: number): string[] {
  const found: string[] = [];
  let depth = 0;
  let start = from;
  for (let at = from; ; at++) {
    const char = text[at];
    if (char === "(") depth++;
    if ((char === "," && depth === 0) || (char === ")" && depth-- === 0)) {
      found.push(text.slice(start, at).trim());
      start = at + 1;
      if (char === ")") return found.filter((one) => one !== "");
    }
    if (char === undefined) throw new Error("a call without an end");
  }
}

/** An array index is not an offset, nor is the byte before a position in a text. */
function withoutIndex(address: string): string {
  return address
    .replace(/\b(word|doubleWord)\(([^,()]*),.*\)/, "$1($2)")
    .replace(/^last - 1$/, "last");
}

function hasNumber(expression: string): boolean {
  return /(?<![\w.])\d/.test(expression);
}

function described({ where, width, address, offset }: Access): string {
  return `${where}: ${width} bytes at ${address}${offset === undefined ? "" : `, ${offset}`}`;
}
