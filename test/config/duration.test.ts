import { describe, expect, test } from "bun:test";
import { parseDuration, printDuration } from "../../src/config/duration.ts";

describe("a duration in Go's syntax", () => {
  test.each([
    ["0", 0, "0s"],
    ["0s", 0, "0s"],
    ["30s", 30_000, "30s"],
    ["1h15m30.5s", 4_530_500, "1h15m30.5s"],
    ["90s", 90_000, "1m30s"],
    ["24h", 86_400_000, "24h0m0s"],
    [".5s", 500, "500ms"],
    ["1.s", 1000, "1s"],
    ["100us", 0.1, "100µs"],
    ["100µs", 0.1, "100µs"],
    ["50ns", 0.00005, "50ns"],
    ["-1m", -60_000, "-1m0s"],
    ["+2ms", 2, "2ms"],
  ])("%s", (text, ms, printed) => {
    expect(parseDuration(text)).toBeCloseTo(ms, 9);
    expect(printDuration(parseDuration(text) ?? Number.NaN)).toBe(printed);
  });

  test.each(["", "30", "s", "1 s", "1s ", "1d", "--1s", ".s", "1h-5m", "1s1"])(
    "but not %p",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );
});
