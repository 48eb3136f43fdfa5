import { describe, expect, test } from "bun:test";
import { addUp } from "./tally.ts";

const REPORT = `<testsuites><testsuite name="test/a.test.ts" file="test/a.test.ts">
  <testcase name="holds" classname="" file="test/a.test.ts" />
  <testcase name="waits" classname="" file="test/a.test.ts"><skipped message="later" /></testcase>
  <testcase name="(unnamed)" classname="" file="test/a.test.ts"><skipped /></testcase>
  <testcase name="a &lt; b" classname="inner &gt; outer" file="test/a.test.ts">
    <failure type="Error" message="no">Error: no</failure>
  </testcase>
</testsuite></testsuites>`;

describe("adding up a test report", () => {
  test("counts what passed and was skipped, and names what failed", () => {
    expect(addUp(["test/a.test.ts"], REPORT, "", 1)).toEqual({
      passed: 1,
      failed: ["test/a.test.ts > outer > inner > a < b"],
      skipped: 1,
      reasons: [],
    });
  });

  test("counts a file that is not in the report as failed", () => {
    const tally = addUp(["test/a.test.ts", "test/b.test.ts"], REPORT, "", 1);
    expect(tally.failed).toContain("test/b.test.ts: not one test was run");
  });

  test("counts a crash without a report as failed, for every file", () => {
    expect(addUp(["test/a.test.ts"], "", "", 132).failed).toHaveLength(1);
    expect(addUp([], "", "", 1).failed).toEqual(["bun test: ended with status 1"]);
  });

  test("keeps the reasons of skips", () => {
    const output = "bun test\nskip: netns: no root\n  skip: not at the start of a line\n";
    expect(addUp([], "", output, 0).reasons).toEqual(["skip: netns: no root"]);
  });
});
