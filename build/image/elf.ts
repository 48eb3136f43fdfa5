/**
 * Finds the files that a dynamically linked program needs. It works like ldd, also for other
 * machines, and does not run the program.
 */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/**
 * The requirements in the dynamic section of one file. Names are as written there: `libc.so.6`,
 * `/lib64/ld-linux-x86-64.so.2`.
 */
export interface Linkage {
  readonly interpreter: string | undefined;
  readonly needed: readonly string[];
}

/** From elf.h. */
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;

/**
 * Reads the dynamic section of a file.
 * @throws Error if it is not a 64-bit little-endian ELF file
 */
export function linkageOf(path: string): Linkage {
  const file = readFileSync(path);
  if (file.toString("latin1", 0, 4) !== "\x7fELF" || file[4] !== 2 || file[5] !== 1) {
    throw new Error(`read ${path}: not a 64-bit little-endian ELF file`);
  }
  const word = (offset: number) => Number(file.readBigUInt64LE(offset));
  const text = (offset: number) => file.toString("latin1", offset, file.indexOf(0, offset));
  const headers = Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = word(32) + index * file.readUInt16LE(54);
    return {
      type: file.readUInt32LE(at),
      offset: word(at + 8),
      address: word(at + 16),
      size: word(at + 32),
    };
  });
  const find = (type: number) => headers.find((header) => header.type === type);
  const interpreter = find(PT_INTERP);
  const dynamic = find(PT_DYNAMIC);
  const entries: { tag: number; value: number }[] = [];
  for (let at = 0; dynamic !== undefined && at < dynamic.size; at += 16) {
    const tag = word(dynamic.offset + at);
    if (tag === 0) break;
    entries.push({ tag, value: word(dynamic.offset + at + 8) });
  }
  const address = entries.find(({ tag }) => tag === DT_STRTAB)?.value ?? 0;
  const segment = headers.find(
    (header) =>
      header.type === PT_LOAD &&
      address >= header.address &&
      address < header.address + header.size,
  );
  const strings = segment === undefined ? 0 : address - segment.address + segment.offset;
  return {
    interpreter: interpreter && text(interpreter.offset),
    needed: entries
      .filter(({ tag }) => tag === DT_NEEDED)
      .map(({ value }) => text(strings + value)),
  };
}

/**
 * All files that `programs` need below `root`, excluding the programs. Maps the path in the image
 * (without a leading slash, under usr/) to the path on this machine. `triplet` is Debian's name of
 * the machine.
 * @throws Error naming a library that does not exist
 */
export function closure(
  programs: readonly string[],
  root: string,
  triplet: string,
): Map<string, string> {
  const folders = [`lib/${triplet}`, `usr/lib/${triplet}`, "lib64", "usr/lib64", "lib", "usr/lib"];
  const found = new Map<string, string>();
  const seen = new Set<string>();
  const pending = [...programs];
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const { interpreter, needed } = linkageOf(path);
    if (interpreter !== undefined) {
      const name = interpreter.slice(1);
      const file = [name, `usr/${name}`, `lib/${triplet}/${basename(name)}`]
        .map((candidate) => join(root, candidate))
        .find((candidate) => existsSync(candidate));
      if (file === undefined) throw missing(path, interpreter, root);
      found.set(`usr/${name.replace(/^usr\//, "")}`, file);
      seen.add(basename(name));
    }
    for (const library of needed) {
      if (seen.has(library)) continue;
      const folder = folders.find((candidate) => existsSync(join(root, candidate, library)));
      if (folder === undefined) throw missing(path, library, root);
      const file = join(root, folder, library);
      seen.add(library);
      found.set(`usr/${folder.replace(/^usr\//, "")}/${library}`, file);
      pending.push(file);
    }
  }
  return found;
}

function missing(program: string, library: string, root: string): Error {
  return new Error(`collect libraries of ${program}: ${library}: not found below ${root}`);
}
