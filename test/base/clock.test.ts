import { expect, test } from "bun:test";
import { systemClock, TIMER_MS_MAX } from "../../src/base/clock.ts";

test.each([TIMER_MS_MAX, TIMER_MS_MAX + 1, 3_000_000_000, Number.POSITIVE_INFINITY])(
  "a timer of %p ms does not fire immediately",
  async (ms) => {
    let ended = false;
    const cancel = systemClock.after(ms, () => {
      ended = true;
    });
    await new Promise<void>((resolve) => systemClock.after(10, resolve));
    cancel();
    expect(ended).toBe(false);
  },
);
