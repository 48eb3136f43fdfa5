/** Notices changes in a directory, also when the directory itself is replaced. */
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { FILE_SETTLE_MS, MANIFESTS_RESCAN_MS } from "../base/limits.ts";

/**
 * Calls back after every change of the directory's entries, and every MANIFESTS_RESCAN_MS without
 * one: inotify sees neither changes on network file systems nor a link further up the path that is
 * replaced. Returns a function that stops it.
 */
export function watchDirectory(path: string, clock: Clock, onMaybeChanged: () => void): () => void {
  let inside: FSWatcher | undefined;
  let cancel = () => {};
  let cancelEcho = () => {};

  /**
   * Bun drops an event that comes within a millisecond of the last one about the same file, also
   * when no other follows: `shouldEmit` of its path watcher (oven-sh/bun#29952, seen with Bun 1.4.5
   * on Linux). So every event is followed by a second look.
   */
  const announced = () => {
    onMaybeChanged();
    cancelEcho();
    cancelEcho = clock.after(FILE_SETTLE_MS, onMaybeChanged);
  };
  /** A watch is on the inode, so a replaced directory needs a new one. */
  const look = () => {
    inside?.close();
    inside = open(path, announced);
  };
  const rescan = () => {
    cancel = clock.after(MANIFESTS_RESCAN_MS, () => {
      look();
      onMaybeChanged();
      rescan();
    });
  };
  const name = basename(path);
  const outside = open(dirname(path), (entry) => {
    if (entry !== name) return;
    look();
    announced();
  });
  look();
  rescan();
  return () => {
    inside?.close();
    outside?.close();
    cancel();
    cancelEcho();
  };
}

/**
 * Undefined if it cannot be watched (absent, or inotify's limit is reached). The rescan goes on.
 */
function open(path: string, onEvent: (entry: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (_event, entry) => onEvent(entry));
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
