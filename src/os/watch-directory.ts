/** Detects changes in a directory, even if the directory itself is replaced. */
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { DIRECTORY_RESCAN_MS, FILE_SETTLE_MS } from "../base/limits.ts";

/**
 * Calls back after every change to the directory's entries, and every DIRECTORY_RESCAN_MS without
 * one. The rescan is needed because inotify misses changes on network file systems and a replaced
 * link further up the path. Returns a function that stops it.
 */
export function watchDirectory(path: string, clock: Clock, onMaybeChanged: () => void): () => void {
  let inside: FSWatcher | undefined;
  let cancel = () => {};
  let cancelEcho = () => {};

  /**
   * Calls back twice, because Bun drops an event within a millisecond of the previous one for the
   * same file, even if none follows. The cause is `shouldEmit` of its path watcher
   * (oven-sh/bun#29952, seen with Bun 1.4.5 on Linux).
   */
  const announced = () => {
    onMaybeChanged();
    cancelEcho();
    cancelEcho = clock.after(FILE_SETTLE_MS, onMaybeChanged);
  };
  /** A watch is bound to the inode, so a replaced directory needs a new one. */
  const look = () => {
    inside?.close();
    inside = open(path, announced);
  };
  const rescan = () => {
    cancel = clock.after(DIRECTORY_RESCAN_MS, () => {
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
 * Undefined if the directory cannot be watched: it is absent, or inotify's limit is reached. The
 * rescan continues.
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
