/**
 * Follows a file through all kinds of changes: written in place, replaced by rename, deleted and
 * created again. It also follows the symbolic links of a ConfigMap volume, where an update switches
 * `..data` to another directory.
 */
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { CONFIG_BYTES_MAX, FILE_SETTLE_MS } from "../base/limits.ts";
import { watchDirectory } from "../os/watch-directory.ts";

/** The content of a file, or the error that prevents reading it. */
export type FileContent = { readonly text: string } | { readonly error: Error };

/**
 * Calls back with the content of the file, once at the start and after every change. It waits until
 * the file has been unchanged for FILE_SETTLE_MS, so that it never reads half-written content. The
 * returned function stops it.
 */
export function followFile(
  path: string,
  clock: Clock,
  onContent: (content: FileContent) => void,
): () => void {
  const file = resolve(path);
  /**
   * `known` is the stamp of the reported content. `draft` is the last stamp seen, and when it
   * appeared (monotonic ms). The content may still be incomplete.
   */
  let known = "";
  let draft = { stamp: "", since: 0 };
  let target = dirname(file);
  let stopTarget = () => {};
  let cancel = () => {};
  let looking = false;
  let again = false;
  let stopped = false;

  const look = async () => {
    again = true;
    if (looking) return;
    looking = true;
    while (again && !stopped) {
      again = false;
      await step();
    }
    looking = false;
  };

  const step = async () => {
    const stamp = await stampOf(file);
    const now = clock.monotonic();
    if (stamp !== draft.stamp) draft = { stamp, since: now };
    if (stamp === known) return;
    const wait = draft.since + FILE_SETTLE_MS - now;
    if (wait > 0) {
      cancel();
      cancel = clock.after(wait, look);
    } else {
      const content = await contentOf(file);
      // The file changed during the read, so it has not settled. Check it again.
      if ((await stampOf(file)) !== stamp) again = true;
      else await settled(stamp, content);
    }
  };

  const settled = async (stamp: string, content: FileContent) => {
    known = stamp;
    await followTarget();
    if (!stopped) onContent(content);
  };

  /**
   * Watches the directory that a link leads to. Watching the link's directory shows no change in
   * it.
   */
  const followTarget = async () => {
    const found = dirname(await realpath(file).catch(() => file));
    if (found === target || stopped) return;
    target = found;
    stopTarget();
    stopTarget = found === dirname(file) ? () => {} : watchDirectory(found, clock, look);
  };

  const stop = watchDirectory(dirname(file), clock, look);
  look();
  return () => {
    stopped = true;
    stop();
    stopTarget();
    cancel();
  };
}

/** Returns a different text for every version of the file, and for its absence. */
async function stampOf(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(":");
  } catch (thrown) {
    return messageOf(thrown);
  }
}

async function contentOf(file: string): Promise<FileContent> {
  try {
    const { size } = await stat(file).then((found) => {
      // Opening a FIFO blocks until a process writes to it.
      if (!found.isFile()) throw new Error("not a regular file");
      return found;
    });
    if (size > CONFIG_BYTES_MAX) {
      throw new Error(`file too large: ${size} bytes (limit ${CONFIG_BYTES_MAX})`);
    }
    return { text: await readFile(file, "utf8") };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
  }
}
