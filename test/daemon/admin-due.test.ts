import { expect, test } from "bun:test";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { waitUntilAdminIsDue } from "../../src/daemon/admin-due.ts";

function waiting(connected: boolean) {
  const clock = new FakeClock();
  const first = Promise.withResolvers<void>();
  const state = { due: false };
  const done = waitUntilAdminIsDue({ firstSync: first.promise, connected: () => connected, clock });
  void done.then(() => {
    state.due = true;
  });
  return { clock, first, state, done };
}

test("the servers start after the first sync", async () => {
  const { clock, first, state, done } = waiting(true);
  await clock.advance(10);
  expect(state.due).toBe(false);
  first.resolve();
  await done;
});

test("if the source does not answer, they start after 1 s", async () => {
  const { clock, state } = waiting(false);
  await clock.advance(999);
  expect(state.due).toBe(false);
  await clock.advance(1);
  expect(state.due).toBe(true);
});

test("while the initial list is loaded, they start after 3 s", async () => {
  const { clock, state } = waiting(true);
  await clock.advance(2999);
  expect(state.due).toBe(false);
  await clock.advance(1);
  expect(state.due).toBe(true);
});
