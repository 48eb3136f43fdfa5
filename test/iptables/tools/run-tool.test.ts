import { expect, test } from "bun:test";
import { runTool } from "../../../src/iptables/tools/run-tool.ts";

test("a program gets its arguments and input unchanged, and its status is returned", async () => {
  expect(await runTool("cat", ["-"], { input: "a\nb" })).toEqual({
    status: 0,
    stdout: "a\nb",
    stderr: "",
  });
  expect(await runTool("printf", ["%s|", "$HOME", "a b", ";"])).toMatchObject({
    stdout: "$HOME|a b|;|",
  });
  const { status, stderr } = await runTool("sh", ["-c", "echo bad >&2; exit 3"]);
  expect({ status, stderr }).toEqual({ status: 3, stderr: "bad" });
});

test("a program that exits before it has read its input is known by its status", async () => {
  expect((await runTool("true", [], { input: "x".repeat(1 << 20) })).status).toBe(0);
});

test("a missing program fails with its name", async () => {
  await expect(runTool("/nowhere/iptables-save", ["-t", "nat"])).rejects.toMatchObject({
    code: "TOOL_FAILED",
    message: "/nowhere/iptables-save -t nat: no such file or directory (ENOENT)",
  });
});

test("a program with endless output is stopped", async () => {
  await expect(
    runTool("yes", ["a long line that is printed again and again"]),
  ).rejects.toMatchObject({
    code: "TOOL_FAILED",
  });
});

test("a program is configured for large pages, unless the operator set something else", async () => {
  const tunables = async () =>
    (await runTool("sh", ["-c", 'echo "$GLIBC_TUNABLES"'])).stdout.trim();
  const before = process.env["GLIBC_TUNABLES"];
  try {
    delete process.env["GLIBC_TUNABLES"];
    expect(await tunables()).toContain("glibc.malloc.hugetlb=1");
    process.env["GLIBC_TUNABLES"] = "glibc.malloc.perturb=1";
    expect(await tunables()).toBe("glibc.malloc.perturb=1");
  } finally {
    if (before === undefined) delete process.env["GLIBC_TUNABLES"];
    else process.env["GLIBC_TUNABLES"] = before;
  }
});
