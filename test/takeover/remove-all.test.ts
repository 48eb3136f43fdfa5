import { describe, expect, test } from "bun:test";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import { withCleanupLock } from "../../src/daemon/cleanup.ts";
import { lockNetworkNamespace } from "../../src/host/namespace-lock.ts";
import { NOTHING_REMOVED } from "../../src/takeover/removal.ts";

useFreshNetns();

describe("a cleanup", () => {
  test("prints the removed rules", async () => {
    const removed = { ...NOTHING_REMOVED, removed: ["the table inet sluice"], messages: ["note"] };
    expect(await withCleanupLock(() => Promise.resolve(removed))).toEqual(removed);
  });

  test("changes nothing while another instance runs", async () => {
    const unlock = lockNetworkNamespace();
    let asked = 0;
    const remove = () => {
      asked++;
      return Promise.resolve(NOTHING_REMOVED);
    };
    await expect(withCleanupLock(remove)).rejects.toThrow(
      "clean up: another Sluice runs in this network namespace (stop it first)",
    );
    expect(asked).toBe(0);
    unlock();
    await withCleanupLock(remove);
    expect(asked).toBe(1);
  });

  test("holds the lock until the last step, and releases it even after a failure", async () => {
    const remove = () => {
      expect(lockNetworkNamespace).toThrow("another Sluice holds the socket");
      return Promise.reject(new Error("a defect"));
    };
    await expect(withCleanupLock(remove)).rejects.toThrow("a defect");
    lockNetworkNamespace()();
  });
});
