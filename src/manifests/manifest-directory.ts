/** The files of a manifest directory, read again only when they changed. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { FILE_SETTLE_MS } from "../base/limits.ts";
import type { Problem } from "../problems/problem.ts";
import { type ManifestObject, manifestProblem, parseManifest } from "./parse-manifest.ts";

/** What is known of one file. */
export interface KnownFile {
  /** Inode, size and times: unchanged means, do not read. */
  readonly stamp: string;
  /** Another one means that the file was replaced in one step. */
  readonly inode: string;
  /**
   * Written in place and now without some object: perhaps only half of it. Since when (monotonic
   * ms).
   */
  readonly draft?: { readonly stamp: string; readonly since: number };
  /** Of the last version that parsed. */
  readonly objects: readonly ManifestObject[];
  readonly problems: readonly Problem[];
}

/**
 * In the order of their names. Files whose stamp is known are not read again; one with a draft must
 * be looked at again after FILE_SETTLE_MS.
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
    if (before?.inode === inode && lacksSome(parsed.objects, objects)) {
      const draft = before.draft?.stamp === stamp ? before.draft : { stamp, since: now };
      if (now - draft.since < FILE_SETTLE_MS) return { ...before, draft };
    }
    return { stamp, inode, ...parsed };
  } catch (thrown) {
    if (isAbsent(thrown)) return undefined;
    return {
      stamp: "",
      inode,
      objects,
      problems: [manifestProblem(path, "", `cannot be read: ${messageOf(thrown)}`)],
    };
  }
}

/**
 * A writer that empties a file before it writes would otherwise take everything away for a moment.
 */
function lacksSome(objects: readonly ManifestObject[], before: readonly ManifestObject[]): boolean {
  const keys = new Set(objects.map((each) => each.key));
  return before.some((each) => !keys.has(each.key));
}

function isAbsent(thrown: unknown): boolean {
  return thrown instanceof Error && "code" in thrown && thrown.code === "ENOENT";
}
