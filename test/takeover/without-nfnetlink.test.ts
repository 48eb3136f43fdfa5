import { expect, test } from "bun:test";
import { join } from "node:path";

const WRAPPER = join(import.meta.dir, "../../harness/netns/without-nfnetlink.ts");
const CHILD = join(import.meta.dir, "children/find-other-proxies.ts");

test("a kernel without nfnetlink has no rules of nf_tables, and that is not reported", () => {
  const { stdout, stderr } = Bun.spawnSync(
    ["unshare", "--net", process.execPath, WRAPPER, process.execPath, CHILD],
    { stdout: "pipe", stderr: "pipe" },
  );
  expect(stderr.toString()).toBe("");
  expect(JSON.parse(stdout.toString())).toEqual([]);
});
