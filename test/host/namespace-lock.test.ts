import { expect, test } from "bun:test";
import { enterFreshNetns, inFreshNetns } from "../../harness/fresh-netns.ts";
import { SluiceError } from "../../src/base/errors.ts";
import { lockNetworkNamespace } from "../../src/host/namespace-lock.ts";

inFreshNetns();

test("a second instance in one network namespace is refused", () => {
  const unlock = lockNetworkNamespace();
  expect(lockNetworkNamespace).toThrow(
    new SluiceError(
      "ALREADY_RUNNING",
      'Cannot lock the network namespace: one sluice may run in each: another one holds the socket "@sluice-kube-proxy"',
    ),
  );
  unlock();
});

test("the lock can be taken again once it was given back, and giving it back twice does no harm", () => {
  const unlock = lockNetworkNamespace();
  unlock();
  const again = lockNetworkNamespace();
  unlock();
  expect(lockNetworkNamespace).toThrow("another one holds the socket");
  again();
});

test("another network namespace has a lock of its own", () => {
  const unlock = lockNetworkNamespace();
  const leave = enterFreshNetns();
  const other = lockNetworkNamespace();
  leave();
  other();
  unlock();
});
