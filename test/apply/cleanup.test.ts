import { describe, expect, test } from "bun:test";
import { cleanUp } from "../../src/apply/cleanup.ts";
import { NOTHING, type Removal } from "../../src/apply/kube-proxy/removal.ts";
import { lockNetworkNamespace } from "../../src/apply/lock.ts";
import { SluiceError } from "../../src/errors.ts";
import { inFreshNetns } from "./netns.ts";

inFreshNetns();

/** A backend that finds `outcome`, and how often it was asked. */
function backendWith(outcome: "removed" | "absent" | "foreign" | SluiceError) {
  let asked = 0;
  const cleanup = () => {
    asked++;
    if (outcome instanceof SluiceError) throw outcome;
    return outcome;
  };
  return { cleanup, asked: () => asked };
}

const nothing = () => Promise.resolve(NOTHING);

describe("a cleanup", () => {
  test("tells what it removed, first of ours, then of kube-proxy's", async () => {
    const others: Removal = { ...NOTHING, removed: ["the table ip kube-proxy"], notes: ["note"] };
    expect(await cleanUp(backendWith("removed"), () => Promise.resolve(others))).toEqual({
      removed: ["the table inet sluice", "the table ip kube-proxy"],
      notes: ["note"],
      kept: [],
      failures: [],
    });
    expect(await cleanUp(backendWith("absent"), nothing)).toEqual(NOTHING);
  });

  test.each([
    { outcome: "foreign", code: "TABLE_FOREIGN" },
    { outcome: new SluiceError("NETLINK_REFUSED", "no"), code: "NETLINK_REFUSED" },
  ] as const)(
    "that fails at our table with $code removes kube-proxy's even so",
    async ({ outcome, code }) => {
      const removed = ["the table ip kube-proxy"];
      const others = () => Promise.resolve({ ...NOTHING, removed });
      const result = await cleanUp(backendWith(outcome), others);
      expect(result.removed).toEqual(removed);
      expect(result.failures).toMatchObject([{ code }]);
    },
  );

  test("touches nothing while another instance runs", async () => {
    const unlock = lockNetworkNamespace();
    const backend = backendWith("removed");
    let asked = 0;
    const others = () => {
      asked++;
      return nothing();
    };
    await expect(cleanUp(backend, others)).rejects.toThrow(
      "Cannot clean up: another sluice holds the network namespace; stop it first",
    );
    expect([backend.asked(), asked]).toEqual([0, 0]);
    unlock();
    await cleanUp(backend, others);
    expect([backend.asked(), asked]).toEqual([1, 1]);
  });

  test("holds the lock until the last step, and gives it back also when it failed", async () => {
    const others = () => {
      expect(lockNetworkNamespace).toThrow("another one holds the socket");
      return Promise.reject(new Error("a defect"));
    };
    await expect(cleanUp(backendWith("absent"), others)).rejects.toThrow("a defect");
    lockNetworkNamespace()();
  });
});
