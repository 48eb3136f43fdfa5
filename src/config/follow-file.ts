/**
 * Follows one file through everything that is done to files: written in place, replaced by rename, removed and put
 * back, and behind the symbolic links of a ConfigMap volume, whose `..data` is turned to another directory.
 */
import { readFile, realpath, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { CONFIG_BYTES_MAX, FILE_SETTLE_MS } from "../base/limits.ts";
import { watchDirectory } from "../os/watch-directory.ts";

/** What a file holds, or why it cannot be read. */
export type FileContent = { readonly text: string } | { readonly error: Error };

/**
 * Calls back with what the file holds, first now and then after every change, each time when it has
 * stayed the same for FILE_SETTLE_MS, so that nothing half written is read. The result stops it.
 */
export function followFile(
  path: string,
  clock: Clock,
  onContent: (content: FileContent) => void,
): () => void {
  const file = resolve(path);
  /** Of what was handed on, and of what was seen last, which may not be complete: since when (monotonic ms). */
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
      // Changed while it was read: then it has not come to rest, and is looked at once more.
      if ((await stampOf(file)) !== stamp) again = true;
      else await settled(stamp, content);
    }
  };

  const settled = async (stamp: string, content: FileContent) => {
    known = stamp;
    await followTarget();
    if (!stopped) onContent(content);
  };

  /** A link leads into a directory whose changes the one with the link says nothing of. */
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

/** Another one for every version of the file; also when it is absent. */
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
      // Whoever opens a FIFO waits for somebody to write into it.
      if (!found.isFile()) throw new Error("it must be a regular file");
      return found;
    });
    if (size > CONFIG_BYTES_MAX) {
      throw new Error(`it must have ${CONFIG_BYTES_MAX} bytes at most: current value is ${size}`);
    }
    return { text: await readFile(file, "utf8") };
  } catch (thrown) {
    return { error: thrown instanceof Error ? thrown : new Error(String(thrown)) };
  }
}
