import { expect, test } from "bun:test";
import { retryDelay } from "../../src/base/retry-delay.ts";

test("the delay doubles up to its maximum", () => {
  const delays = { firstMs: 100, maxMs: 1000 };
  const waits = [1, 2, 3, 4, 5, 6].map((attempts) => retryDelay(attempts, delays));
  expect(waits).toEqual([100, 200, 400, 800, 1000, 1000]);
  expect(retryDelay(5000, delays)).toBe(1000);
});

test("a maximum below the first delay counts from the start", () => {
  expect(retryDelay(1, { firstMs: 100, maxMs: 30 })).toBe(30);
});

test("jitter adds up to the delay's own length, within the maximum", () => {
  const wait = (attempts: number, random: number) =>
    retryDelay(attempts, { firstMs: 100, maxMs: 1000, random: () => random });
  expect(wait(1, 0)).toBe(100);
  expect(wait(1, 0.5)).toBe(150);
  expect(wait(3, 0.25)).toBe(500);
  expect(wait(4, 0.5)).toBe(1000);
  expect(wait(9, 0)).toBe(1000);
});
