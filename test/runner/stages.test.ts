import { describe, expect, test } from "bun:test";
import { ROOT, repositoryFiles, textOf } from "../../harness/repository.ts";
import { EXCEPTIONS, STAGES, selectStages, TestStages } from "./stages.ts";

const tests = repositoryFiles().filter((path) => /^test\/.*\.test\.ts$/.test(path));
const stages = new TestStages(ROOT);

describe("the stage of a test file", () => {
  test("is one that runs test files, and each of those has files", () => {
    const used = new Set(tests.map((path) => stages.stageOf(path)));
    const running = STAGES.filter(({ commands }) => !commands).map(({ name }) => name);
    expect([...used].sort()).toEqual([...running].sort());
  });

  test.each([
    ["test/plan/plan.test.ts", "unit"],
    ["test/iptables/rules/ruleset.test.ts", "unit"],
    ["test/nftables/nftables-backend.test.ts", "kernel"],
    ["test/property/drift.test.ts", "kernel"],
    ["test/traffic/tables.test.ts", "binary"],
    ["test/daemon/daemon.test.ts", "cluster"],
    ["test/watch/real-api.test.ts", "cluster"],
  ])("of %s is %s", (path, stage) => {
    expect(stages.stageOf(path)).toBe(stage);
  });

  test("is an exception for files that exist and would be in another", () => {
    const plain = new TestStages(ROOT, {});
    for (const [path, stage] of Object.entries(EXCEPTIONS)) {
      expect(tests).toContain(path);
      expect(plain.stageOf(path)).not.toBe(stage);
    }
  });
});

test("npm run check runs the commands of the stage check", () => {
  const { scripts } = JSON.parse(textOf("package.json"));
  expect(scripts.check).toBe("bash scripts/setup.sh build && bun test/runner/check.ts");
  const names = STAGES.find(({ name }) => name === "check")?.commands?.map(({ name }) => name);
  expect(names).toEqual(["type check", "format and lint", "prose"]);
});

describe("the stages", () => {
  test("need only earlier ones", () => {
    STAGES.forEach(({ needs }, index) => {
      const earlier = STAGES.slice(0, index).map(({ name }) => name);
      for (const needed of needs) expect(earlier).toContain(needed);
    });
  });

  test.each([
    [[], ["setup", "check", "build", "unit", "kernel", "binary", "cluster"]],
    [["unit"], ["setup", "unit"]],
    [
      ["binary", "check"],
      ["setup", "check", "build", "binary"],
    ],
  ])("selected by %j are %j", (names, selected) => {
    expect(selectStages(names).map(({ name }) => name)).toEqual(selected);
  });

  test("are not selected by another name", () => {
    expect(() => selectStages(["unti"])).toThrow(
      '--stage: invalid value "unti": must be one of setup, check, build, unit, kernel, binary, cluster',
    );
  });
});
