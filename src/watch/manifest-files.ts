/** The files of a manifest directory, read again only when they changed. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import type { Problem } from "../types.ts";
import { type ManifestObject, manifestProblem, parseManifest } from "./manifest-file.ts";

/** What is known of one file. */
export interface KnownFile {
  /** Inode, size and times: unchanged means, do not read. */
  readonly stamp: string;
  /** Of the last version that parsed. */
  readonly objects: readonly ManifestObject[];
  readonly problems: readonly Problem[];
}

/** In the order of their names. Files whose stamp is known are not read again. */
export async function readFiles(
  directory: string,
  known: ReadonlyMap<string, KnownFile>,
): Promise<Map<string, KnownFile>> {
  const names = (await readdir(directory)).filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name));
  const files = new Map<string, KnownFile>();
  for (const name of names.sort()) {
    const path = join(directory, name);
    const file = await readOne(path, known.get(path));
    if (file !== undefined) files.set(path, file);
  }
  return files;
}

async function readOne(
  path: string,
  before: KnownFile | undefined,
): Promise<KnownFile | undefined> {
  const objects = before?.objects ?? [];
  let stamp = "";
  try {
    const found = await stat(path, { bigint: true });
    stamp = [found.dev, found.ino, found.size, found.mtimeNs, found.ctimeNs].join(":");
    if (!found.isFile()) return undefined;
    if (before?.stamp === stamp) return before;
    const parsed = await parseManifest(path, await readFile(path, "utf8"));
    if ("message" in parsed) return { stamp, objects, problems: [parsed] };
    return { stamp, ...parsed };
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined;
    return {
      stamp: "",
      objects,
      problems: [manifestProblem(path, "", `cannot be read: ${messageOf(thrown)}`)],
    };
  }
}

function isAbsent(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
}
