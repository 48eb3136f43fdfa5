import { expect, test } from "bun:test";
import { countCpuList, hostFacts } from "../../src/host/host-facts.ts";

test.each([
  ["0", 1],
  ["0-3", 4],
  ["0-3,8,10-11", 7],
  ["", 0],
  ["none", 0],
])("%j is a list of %i processors", (list, count) => {
  expect(countCpuList(list)).toBe(count);
});

test("the machine has a kernel and processors", () => {
  const { kernelRelease, cpus } = hostFacts();
  expect(kernelRelease).toBe(Bun.spawnSync(["uname", "-r"]).stdout.toString().trim());
  expect(cpus).toBe(Number(Bun.spawnSync(["getconf", "_NPROCESSORS_ONLN"]).stdout.toString()));
});
