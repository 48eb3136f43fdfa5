/** Reads the files of a manifest directory, and reads a file again only if it changed. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeCause } from "../base/errors.ts";
import { FILE_SETTLE_MS } from "../base/limits.ts";
import type { Problem } from "../problems/problem.ts";
import { type ManifestObject, parseManifest } from "./parse-manifest.ts";

/** The cached state of one file. */
export interface KnownFile {
  /** Inode, size and times. If they are unchanged, the file is not read. */
  readonly stamp: string;
  /** A different inode means that the file was replaced atomically. */
  readonly inode: string;
  /**
   * Set if the file was written in place and now lacks an object, so that it may be half written.
   * `since` is in monotonic ms.
   */
  readonly unsettled?: { readonly stamp: string; readonly since: number };
  /** Objects of the last version that parsed. */
  readonly objects: readonly ManifestObject[];
  readonly problems: readonly Problem[];
}

/**
 * Returns the files in order of their names. A file with a known stamp is not read again. If a file
 * is `unsettled`, call this again after FILE_SETTLE_MS.
 */
export async function readFiles(
  directory: string,
  known: ReadonlyMap<string, KnownFile>,
  now: number,
): Promise<Map<string, KnownFile>> {
  const names = (await readdir(directory)).filter((name) => /^[^.].*\.(ya?ml|json)$/.test(name));
  const files = new Map<string, KnownFile>();
  for (const name of names.sort()) {
    const path = join(directory, name);
    const file = await readOne(path, known.get(path), now);
    if (file !== undefined) files.set(path, file);
  }
  return files;
}

async function readOne(
  path: string,
  before: KnownFile | undefined,
  now: number,
): Promise<KnownFile | undefined> {
  const objects = before?.objects ?? [];
  let stamp = "";
  let inode = "";
  try {
    const found = await stat(path, { bigint: true });
    inode = `${found.dev}:${found.ino}`;
    stamp = [inode, found.size, found.mtimeNs, found.ctimeNs].join(":");
    if (!found.isFile()) return undefined;
    if (before?.stamp === stamp) return before;
    const parsed = await parseManifest(path, await readFile(path, "utf8"));
    if ("message" in parsed) return { stamp, inode, objects, problems: [parsed] };
    if (before?.inode === inode && lacksObjects(parsed.objects, objects)) {
      const unsettled =
        before.unsettled?.stamp === stamp ? before.unsettled : { stamp, since: now };
      if (now - unsettled.since < FILE_SETTLE_MS) return { ...before, unsettled };
    }
    return { stamp, inode, ...parsed };
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined;
    return {
      stamp: "",
      inode,
      objects,
      problems: [unreadableProblem(path, thrown)],
    };
  }
}

/** Returns the problem of a file or directory that cannot be read. */
export function unreadableProblem(path: string, thrown: unknown): Problem {
  const message = `read ${path}: ${describeCause(thrown)}`;
  return { subject: path, code: "MANIFEST_INVALID", field: "", message };
}

/**
 * Detects missing objects. Otherwise a writer that truncates a file before writing would remove all
 * objects for a moment.
 */
function lacksObjects(
  objects: readonly ManifestObject[],
  before: readonly ManifestObject[],
): boolean {
  const keys = new Set(objects.map((each) => each.key));
  return before.some((each) => !keys.has(each.key));
}

function isAbsent(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
}
