import { afterAll, describe, expect, onTestFinished, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { useFreshNetns } from "../../harness/fresh-netns.ts";
import {
  findKubeProxyProcesses,
  isKubeProxy,
  type Process,
} from "../../src/takeover/kube-proxy-processes.ts";

const SELF: Process = {
  comm: "sluice",
  exe: "/usr/local/bin/sluice",
  file: "1:100",
  network: "net:[1]",
};
const OTHER: Process = {
  comm: "kube-proxy",
  exe: "/usr/local/bin/kube-proxy",
  file: "2:200",
  network: "net:[1]",
};

test.each([
  ["one of kube-proxy's name", {}, true],
  ["one that goes by another name", { comm: "kp" }, true],
  ["one with a replaced program", { comm: "kp", exe: "/bin/kube-proxy (deleted)" }, true],
  ["one with a program that cannot be examined", { file: undefined }, true],
  ["one in another network namespace", { network: "net:[2]" }, false],
  ["one with an unreadable network namespace", { network: undefined }, false],
  ["one with an unreadable program", { exe: undefined }, false],
  ["any other program", { comm: "sleep", exe: "/bin/sleep" }, false],
  ["another Sluice by our image's link", { exe: SELF.exe, file: SELF.file }, false],
  ["a Sluice in another container", { exe: SELF.exe, file: "3:300" }, false],
])("%s is another kube-proxy: %o, %p", (_name, change, expected) => {
  expect(isKubeProxy({ ...OTHER, ...change }, SELF)).toBe(expected);
});

test("a Sluice executable with kube-proxy's name finds kube-proxy, and not itself", () => {
  const self = { ...SELF, comm: "kube-proxy", exe: OTHER.exe };
  expect(isKubeProxy(OTHER, self)).toBe(true);
  expect(isKubeProxy({ ...self }, self)).toBe(false);
});

describe("processes of this machine", () => {
  useFreshNetns();
  const folder = mkdtempSync(join(tmpdir(), "sluice-processes-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Starts a program under this path. */
  const start = (path: string, ...wrapper: string[]) => {
    const child = Bun.spawn([...wrapper, path, "60"], { stdio: ["ignore", "ignore", "ignore"] });
    const stop = async () => {
      child.kill("SIGKILL");
      await child.exited;
    };
    onTestFinished(stop);
    return { pid: child.pid, stop };
  };

  test("are found while they run, only in our network namespace", async () => {
    const program = join(folder, "kube-proxy");
    copyFileSync("/bin/sleep", program);
    expect((await findKubeProxyProcesses()).pids).toEqual([]);
    const one = start(program);
    start(program, "unshare", "-n");
    const link = join(folder, "other");
    symlinkSync(program, link);
    const two = start(link);
    const both = [one.pid, two.pid].toSorted((a, b) => a - b);
    while ((await findKubeProxyProcesses()).pids.length < both.length) await Bun.sleep(1);
    expect((await findKubeProxyProcesses()).pids).toEqual(both);
    // Another Sluice runs the same file.
    expect((await findKubeProxyProcesses("/proc", one.pid)).pids).toEqual([]);
    await one.stop();
    expect((await findKubeProxyProcesses()).pids).toEqual([two.pid]);
  });
});

test("of a kube-proxy and its children, only itself is reported", async () => {
  const proc = mkdtempSync(join(tmpdir(), "sluice-proc-"));
  onTestFinished(() => rmSync(proc, { recursive: true }));
  const put = (pid: number, comm: string, parent: number) => {
    const folder = join(proc, String(pid));
    mkdirSync(join(folder, "ns"), { recursive: true });
    writeFileSync(join(folder, "comm"), `${comm}\n`);
    writeFileSync(join(folder, "stat"), `${pid} (${comm}) S ${parent} 1 1\n`);
    symlinkSync(`/bin/${comm}`, join(folder, "exe"));
    symlinkSync("net:[1]", join(folder, "ns/net"));
  };
  put(7, "sluice", 1);
  put(8, "kube-proxy", 1);
  put(9, "kube-proxy", 8);
  put(10, "kube-proxy", 7);
  expect((await findKubeProxyProcesses(proc, 7)).pids).toEqual([8, 10]);
});

test("all processes are visible only in the first namespace, with the right to inspect others", async () => {
  const proc = mkdtempSync(join(tmpdir(), "sluice-proc-"));
  onTestFinished(() => rmSync(proc, { recursive: true }));
  const put = (pid: number, namespace: string) => {
    mkdirSync(join(proc, String(pid), "ns"), { recursive: true });
    writeFileSync(join(proc, String(pid), "comm"), "init\n");
    symlinkSync(namespace, join(proc, String(pid), "ns/pid"));
  };
  put(7, "pid:[4026531836]");
  put(8, "pid:[4026532100]");
  put(1, "pid:[4026531836]");
  expect((await findKubeProxyProcesses(proc, 7)).all).toBe(false);
  symlinkSync("net:[1]", join(proc, "1/ns/net"));
  expect((await findKubeProxyProcesses(proc, 7)).all).toBe(true);
  expect((await findKubeProxyProcesses(proc, 8)).all).toBe(false);
  expect((await findKubeProxyProcesses(join(proc, "nowhere"), 7)).pids).toEqual([]);
});
