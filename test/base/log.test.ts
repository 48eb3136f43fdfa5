import { describe, expect, test } from "bun:test";
import { SluiceError } from "../../src/base/errors.ts";
import { createLogger, type Logger } from "../../src/base/log.ts";

const NOON = new Date(2026, 10, 24, 11, 40, 0, 123).getTime() + 0.456;

function logTo(lines: string[], format: "text" | "json" = "text", verbosity = 2): Logger {
  return createLogger({
    verbosity,
    format,
    now: () => NOON,
    write: (line) => lines.push(line),
    pid: 7,
  });
}

describe("a text line", () => {
  test("has klog's header, the message and quoted values", () => {
    const lines: string[] = [];
    logTo(lines)
      .from("loop.ts")
      .info("Synced", { services: 12, outcome: 'a "b"', gone: undefined });
    expect(lines).toEqual([
      'I1124 11:40:00.123456       7 loop.ts:1] Synced services=12 outcome="a \\"b\\""\n',
    ]);
  });

  test("of an error names its code", () => {
    const lines: string[] = [];
    logTo(lines).error("Sync failed", new SluiceError("NETLINK_REFUSED", "no"), { services: 1 });
    expect(lines[0]).toEndWith(
      'main.ts:1] Sync failed err="no" code="NETLINK_REFUSED" services=1\n',
    );
    expect(lines[0]).toStartWith("E1124 ");
  });

  test("stays one line, even with control characters in names and messages", () => {
    const lines: string[] = [];
    logTo(lines).warn("bad\nI1124 forged\r", { name: "x\ny" });
    expect(lines[0]?.split("\n")).toHaveLength(2);
    expect(lines[0]).toContain("bad\\nI1124 forged\\r name");
  });
});

test("a debug line is written up to the verbosity", () => {
  const lines: string[] = [];
  const log = logTo(lines);
  log.debug(2, "seen");
  log.debug(3, "unseen");
  expect(lines).toHaveLength(1);
});

test("a JSON line has upstream's keys", () => {
  const lines: string[] = [];
  const log = logTo(lines, "json");
  log.debug(2, "Synced", { services: 12 });
  log.warn("Odd");
  log.error("Failed", new Error("why"));
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { ts: NOON, caller: "main.ts", msg: "Synced", v: 2, services: 12 },
    { ts: NOON, caller: "main.ts", msg: "Odd", v: 0, severity: "warning" },
    { ts: NOON, caller: "main.ts", msg: "Failed", err: "why" },
  ]);
});

test("firstTime is true once for a key in all files, until rearm", () => {
  const log = logTo([]);
  expect([log.firstTime("a"), log.from("x.ts").firstTime("a"), log.firstTime("b")]).toEqual([
    true,
    false,
    true,
  ]);
  log.rearm("a");
  expect(log.firstTime("a")).toBe(true);
});

test("firstTime remembers a bounded number of keys", () => {
  const log = logTo([]);
  for (let key = 0; key < 10_001; key++) log.firstTime(String(key));
  expect([log.firstTime("10000"), log.firstTime("0")]).toEqual([false, true]);
});

describe("levels of single files", () => {
  const at = (verbosity: number, ...vmodule: [pattern: string, verbosity: number][]) => {
    const log = createLogger({
      verbosity,
      format: "text",
      vmodule: vmodule.map(([pattern, level]) => ({ pattern, verbosity: level })),
      now: () => NOON,
      write() {},
      pid: 7,
    });
    return (source: string) => log.from(source).verbosity;
  };

  test.each<[string, string, number]>([
    ["proxy", "proxy.ts", 4],
    ["proxy", "pro.ts", 0],
    ["prox", "proxy.ts", 0],
    ["pro*", "proxy.ts", 4],
    ["*", "proxy.ts", 4],
    ["pr?xy", "proxy.ts", 4],
    ["pr?xy", "prxy.ts", 0],
    ["health.checks", "health-checks.ts", 0],
    ["health-checks", "health-checks.ts", 4],
    ["[a", "proxy.ts", 0],
  ])("%s is about %s: %p", (pattern, source, wanted) => {
    expect(at(0, [pattern, 4])(source)).toBe(wanted);
  });

  test("only raise the level of -v, and the first match counts", () => {
    expect(at(2, ["proxy", 1], ["*", 5])("proxy.ts")).toBe(2);
    expect(at(2, ["proxy", 1], ["*", 5])("loop.ts")).toBe(5);
  });
});

test("new settings apply to all loggers of a log", () => {
  const lines: string[] = [];
  const log = createLogger({
    verbosity: 0,
    format: "text",
    now: () => NOON,
    write: (line) => lines.push(line),
    pid: 7,
  });
  const proxy = log.from("proxy.ts");
  const loop = log.from("loop.ts");
  proxy.debug(2, "unseen");
  log.configure({ verbosity: 1, format: "json", vmodule: [{ pattern: "proxy", verbosity: 3 }] });
  expect([proxy.verbosity, loop.verbosity]).toEqual([3, 1]);
  proxy.debug(2, "seen");
  loop.debug(2, "unseen");
  expect(lines.map((line) => JSON.parse(line).msg)).toEqual(["seen"]);
  log.configure({ verbosity: 0, format: "text" });
  expect(proxy.verbosity).toBe(0);
});
