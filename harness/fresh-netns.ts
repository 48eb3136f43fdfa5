/**
 * Provides a network namespace for a test file. The test process itself moves into it, and with it
 * its sockets and child processes (nft, ip, conntrack). The kernel removes the namespace when the
 * last of them is gone.
 */

import { dlopen } from "bun:ffi";
import { afterAll, beforeAll } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { run } from "./commands.ts";

const CLONE_NEWNET = 0x40000000;

const { symbols: c } = dlopen("libc.so.6", {
  unshare: { args: ["i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
});

/** Moves this thread into a new, empty namespace; the returned function moves it back. */
export function enterFreshNetns(): () => void {
  const before = openSync("/proc/thread-self/ns/net", "r");
  if (c.unshare(CLONE_NEWNET) !== 0) {
    closeSync(before);
    throw new Error("create a network namespace: unshare(2) failed (run as root)");
  }
  run("ip", "link", "set", "lo", "up");
  return () => {
    const result = c.setns(before, CLONE_NEWNET);
    closeSync(before);
    if (result !== 0) throw new Error("return to the first network namespace: setns(2) failed");
  };
}

/** All tests of the calling file run in one fresh namespace. */
export function useFreshNetns(): void {
  let leave = () => {};
  beforeAll(() => {
    leave = enterFreshNetns();
  });
  afterAll(() => leave());
}
