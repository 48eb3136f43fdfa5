import { expect, test } from "bun:test";
import { enterFreshNetns, useFreshNetns } from "../../harness/fresh-netns.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { lockNetworkNamespace } from "../../src/host/namespace-lock.ts";

useFreshNetns();

test("a second instance in one network namespace is refused", () => {
  const unlock = lockNetworkNamespace();
  expect(lockNetworkNamespace).toThrow(
    new SluiceError(
      "ALREADY_RUNNING",
      'lock network namespace: another Sluice holds the socket "@sluice-kube-proxy" (only one may run on a node; stop the other)',
    ),
  );
  unlock();
});

test("the lock can be taken again after its release, and a second release has no effect", () => {
  const unlock = lockNetworkNamespace();
  unlock();
  const again = lockNetworkNamespace();
  unlock();
  expect(lockNetworkNamespace).toThrow("another Sluice holds the socket");
  again();
});

test("another network namespace has its own lock", () => {
  const unlock = lockNetworkNamespace();
  const leave = enterFreshNetns();
  const other = lockNetworkNamespace();
  leave();
  other();
  unlock();
});
