import { describe, expect, test } from "bun:test";
import { addUp, countsOf, durationOf, readReport, summaryOf, type Tally } from "./tally.ts";

const REPORT = `<testsuites><testsuite name="test/a.test.ts" file="test/a.test.ts">
  <testcase name="holds" classname="" file="test/a.test.ts" />
  <testcase name="waits" classname="" file="test/a.test.ts"><skipped message="later" /></testcase>
  <testcase name="(unnamed)" classname="" file="test/a.test.ts"><skipped /></testcase>
  <testcase name="a &lt; b" classname="inner &gt; outer" file="test/a.test.ts">
    <failure type="Error" message="no">Error: no</failure>
  </testcase>
</testsuite></testsuites>`;

describe("reading a test report", () => {
  test("counts what passed and was skipped, and names what failed", () => {
    expect(readReport(["test/a.test.ts"], REPORT, "", 1)).toEqual({
      passed: 1,
      failed: ["test/a.test.ts > outer > inner > a < b"],
      skipped: 1,
      reasons: [],
    });
  });

  test("counts a file that is not in the report as failed", () => {
    const tally = readReport(["test/a.test.ts", "test/b.test.ts"], REPORT, "", 1);
    expect(tally.failed).toContain("test/b.test.ts: no test was run");
  });

  test("counts a crash without a report as failed, for every file", () => {
    expect(readReport(["test/a.test.ts"], "", "", 132).failed).toHaveLength(1);
    expect(readReport([], "", "", 1).failed).toEqual(["bun test: exit status 1"]);
  });

  test("keeps the reasons of skips", () => {
    const output = "bun test\nskip: netns: no root\n  skip: not at the start of a line\n";
    expect(readReport([], "", output, 0).reasons).toEqual(["skip: netns: no root"]);
  });
});

describe("the summary", () => {
  const one: Tally = { passed: 3, failed: ["a > b"], skipped: 1, reasons: ["skip: x: y"] };

  test("adds up counts and failures, and names each reason once", () => {
    const sum = addUp([one, one, { passed: 1, failed: [], skipped: 0, reasons: [] }]);
    expect(sum).toEqual({
      passed: 7,
      failed: ["a > b", "a > b"],
      skipped: 2,
      reasons: ["skip: x: y"],
    });
    expect(countsOf(sum)).toBe("7 passed, 2 failed, 2 skipped");
    expect(countsOf(addUp([]))).toBe("0 passed, 0 failed, 0 skipped");
  });

  test("has a line for each stage, also for one that was not run", () => {
    const results = [
      { name: "unit", ms: 83_400, outcome: { ...one, passed: 2104 } },
      { name: "build", ms: 9040, outcome: one },
      { name: "binary", ms: 0, outcome: "not run: build failed" },
    ];
    expect(summaryOf(results)).toBe(`\
stage   passed  failed  skipped        time
unit      2104       1        1  1 min 23 s
build        3       1        1       9.0 s
binary                                       not run: build failed`);
  });

  test.each([
    [0, "0.0 s"],
    [9940, "9.9 s"],
    [59_400, "59 s"],
    [59_900, "1 min 0 s"],
  ])("%d ms is %s", (ms, text) => {
    expect(durationOf(ms)).toBe(text);
  });
});
