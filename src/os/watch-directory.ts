/** Notices that something in a directory may have changed, also when the directory itself is replaced. */
import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "../base/clock.ts";
import { FILE_SETTLE_MS, MANIFESTS_RESCAN_MS } from "../base/limits.ts";

/**
 * Calls back after every change of the directory's entries, and now and then without one: inotify sees
 * neither network file systems nor a link further up the path being turned.
 * @returns stops it.
 */
export function watchDirectory(path: string, clock: Clock, onMaybeChanged: () => void): () => void {
  let inside: FSWatcher | undefined;
  let cancel = () => {};
  let cancelEcho = () => {};

  /** Bun drops an event that follows another of the same file at once: so look again a little later. */
  const announced = () => {
    onMaybeChanged();
    cancelEcho();
    cancelEcho = clock.after(FILE_SETTLE_MS, onMaybeChanged);
  };
  /** The watch is on the inode: after a swap of the directory a new one is needed. */
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

/** Undefined where it cannot be watched (absent, or inotify's limit reached): the rescan goes on. */
function open(path: string, onEvent: (entry: string | null) => void): FSWatcher | undefined {
  try {
    const watcher = watch(path, { persistent: false }, (_event, entry) => onEvent(entry));
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
