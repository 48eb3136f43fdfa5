import { describe, expect, test } from "bun:test";
import { cleanUp } from "../../src/apply/cleanup.ts";
import { lockNetworkNamespace } from "../../src/apply/lock.ts";
import { inFreshNetns } from "./netns.ts";

inFreshNetns();

/** A backend that finds `outcome`, and how often it was asked. */
function backendWith(outcome: "removed" | "absent" | "foreign") {
  let asked = 0;
  const cleanup = () => {
    asked++;
    return outcome;
  };
  return { cleanup, asked: () => asked };
}

describe("a cleanup", () => {
  test("tells whether there was something to remove", () => {
    expect(cleanUp(backendWith("removed"))).toBe(true);
    expect(cleanUp(backendWith("absent"))).toBe(false);
  });

  test("fails at a table that somebody else made", () => {
    expect(() => cleanUp(backendWith("foreign"))).toThrow(
      expect.objectContaining({ code: "TABLE_FOREIGN" }),
    );
  });

  test("touches nothing while another instance runs", () => {
    const unlock = lockNetworkNamespace();
    const backend = backendWith("removed");
    expect(() => cleanUp(backend)).toThrow(
      "Cannot clean up: another sluice holds the network namespace; stop it first",
    );
    expect(backend.asked()).toBe(0);
    unlock();
    expect(cleanUp(backend)).toBe(true);
  });

  test("gives the lock back, also when it failed", () => {
    expect(() => cleanUp(backendWith("foreign"))).toThrow();
    lockNetworkNamespace()();
  });
});
