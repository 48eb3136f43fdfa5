import { expect, test } from "bun:test";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const LOOK = `
  import { findOtherProxies } from "${ROOT}/src/takeover/find-rules.ts";
  import { systemClock } from "${ROOT}/src/base/clock.ts";
  console.log(JSON.stringify(await findOtherProxies({ clock: systemClock, legacy: [] })));
`;

test("a kernel without nfnetlink has no rules of nf_tables, and nothing is told of that", () => {
  const wrapper = [process.execPath, join(ROOT, "harness/netns/without-nfnetlink.ts")];
  const { stdout, stderr } = Bun.spawnSync(
    ["unshare", "--net", ...wrapper, process.execPath, "-e", LOOK],
    { stdout: "pipe", stderr: "pipe" },
  );
  expect(stderr.toString()).toBe("");
  expect(JSON.parse(stdout.toString())).toEqual([]);
});
