/** Writes tar archives that are reproducible: sorted, owned by root, with a single timestamp. */
import { type Header, pack } from "tar-stream";

/** One entry. `tar` adds its parent directories. */
export type Entry = { readonly path: string } & (
  | { readonly kind: "file"; readonly bytes: Uint8Array; readonly executable?: boolean }
  | { readonly kind: "link"; readonly to: string }
  | { readonly kind: "directory" }
);

/**
 * Maximum length in bytes of a name in a ustar header. tar-stream puts longer names into pax
 * records, which an image does not need.
 */
const NAME_MAX = 100;

/**
 * Writes a POSIX ustar archive. `path`s are relative and without `.`; `mtime` is in seconds since
 * the epoch.
 * @throws Error if a path or the target of a link is longer than NAME_MAX
 */
export async function tar(entries: readonly Entry[], mtime: number): Promise<Uint8Array> {
  const byPath = new Map<string, Entry>();
  for (const entry of entries) {
    for (const path of parents(entry.path)) byPath.set(path, { path, kind: "directory" });
  }
  for (const entry of entries) byPath.set(entry.path, entry);
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1));

  const archive = pack();
  for (const entry of sorted) {
    const header = headerOf(entry, new Date(mtime * 1000));
    if (entry.kind === "file") archive.entry(header, entry.bytes);
    else archive.entry(header);
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parents(path: string): string[] {
  const words = path.split("/").slice(0, -1);
  return words.map((_, index) => words.slice(0, index + 1).join("/"));
}

function headerOf(entry: Entry, mtime: Date): Partial<Header> & { name: string } {
  const name = checked(entry, entry.kind === "directory" ? `${entry.path}/` : entry.path);
  switch (entry.kind) {
    case "file":
      return { type: "file", name, mode: entry.executable ? 0o755 : 0o644, mtime };
    case "link":
      return { type: "symlink", name, linkname: checked(entry, entry.to), mode: 0o755, mtime };
    case "directory":
      return { type: "directory", name, mode: 0o755, mtime };
  }
}

function checked(entry: Entry, name: string): string {
  if (Buffer.byteLength(name) <= NAME_MAX) return name;
  throw new Error(
    `archive ${entry.path}: invalid name ${JSON.stringify(name)}: must have at most ${NAME_MAX} bytes`,
  );
}
