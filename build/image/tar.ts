/** Archives that are the same bytes for the same entries: sorted, owned by root, of one time. */

/** One entry. Parent directories are added by themselves. */
export type Entry = { readonly path: string } & (
  | { readonly kind: "file"; readonly bytes: Uint8Array; readonly executable?: boolean }
  | { readonly kind: "link"; readonly to: string }
  | { readonly kind: "directory" }
);

const BLOCK = 512;
/** Type flags of POSIX ustar. */
const TYPES = { file: "0", link: "2", directory: "5" } as const;

/**
 * A POSIX ustar archive. `path`s are relative and without `.`; `mtime` is in seconds since the epoch.
 * @throws Error if a path or the target of a link is longer than the 100 bytes the header has for it
 */
export function tar(entries: readonly Entry[], mtime: number): Uint8Array {
  const byPath = new Map<string, Entry>();
  for (const entry of entries) {
    for (const path of parents(entry.path)) byPath.set(path, { path, kind: "directory" });
  }
  for (const entry of entries) byPath.set(entry.path, entry);
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));

  const parts: Uint8Array[] = [];
  for (const entry of sorted) {
    parts.push(header(entry, mtime));
    if (entry.kind !== "file") continue;
    parts.push(entry.bytes, new Uint8Array(padding(entry.bytes.length)));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return Buffer.concat(parts);
}

function parents(path: string): string[] {
  const words = path.split("/").slice(0, -1);
  return words.map((_, index) => words.slice(0, index + 1).join("/"));
}

function padding(length: number): number {
  return (BLOCK - (length % BLOCK)) % BLOCK;
}

function header(entry: Entry, mtime: number): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const text = (value: string, offset: number, size: number) => {
    if (Buffer.byteLength(value) > size) {
      throw new Error(
        `Cannot archive ${entry.path}: a name has at most ${size} bytes: current value is ${value}`,
      );
    }
    block.write(value, offset, size);
  };
  const octal = (value: number, offset: number, size: number) =>
    block.write(`${value.toString(8).padStart(size - 1, "0")}\0`, offset, size);

  text(entry.kind === "directory" ? `${entry.path}/` : entry.path, 0, 100);
  octal(entry.kind === "file" && !entry.executable ? 0o644 : 0o755, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.kind === "file" ? entry.bytes.length : 0, 124, 12);
  octal(mtime, 136, 12);
  text(TYPES[entry.kind], 156, 1);
  if (entry.kind === "link") text(entry.to, 157, 100);
  block.write("ustar\0" + "00", 257, 8);
  // The checksum is taken with its own field blank.
  block.write("        ", 148, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}
