/** Sluice serves even if no kernel setting can be changed. */
import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { answers, useLongTimeout } from "../../harness/netns/connections.ts";
import { DEFAULT_FLAGS, SluiceProcess } from "../../harness/netns/program.ts";
import { World } from "../../harness/netns/world.ts";
import { service, slices } from "../../harness/netns/world-objects.ts";

useLongTimeout();

/** Runs a command in its own mount namespace, after a script. */
const after = (script: string) => ["unshare", "-m", "sh", "-ec", `${script}; exec "$@"`, "sh"];
const readOnly = (path: string) => `mount --bind ${path} ${path}; mount -o remount,bind,ro ${path}`;
const TIMEOUT = /change net\.netfilter\.nf_conntrack_tcp_timeout_close_wait from .* \(EROFS\)/;
const OOM = /change oom_score_adj from .* \(EACCES/;

let world: World | undefined;
afterEach(() => world?.close());

/** The log lines of refused settings. */
function errorLines(program: SluiceProcess): string[] {
  return program
    .log()
    .split("\n")
    .filter((line) => line.includes("SYSCTL_REFUSED"));
}

/** The inherited score. Without CAP_SYS_RESOURCE the program cannot lower it. */
const OWN_SCORE = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));

describe.each<[string, readonly string[], readonly RegExp[], number?]>([
  [
    "a read-only /proc/sys",
    after(readOnly("/proc/sys")),
    [/change net\.netfilter\.nf_conntrack_tcp_timeout_established from .* \(EROFS\)/, TIMEOUT],
  ],
  [
    "no sysctls of connection tracking, as without its module",
    after("mount -t tmpfs none /proc/sys/net/netfilter"),
    [/set conntrack sysctls: .* `modprobe nf_conntrack`/],
  ],
  ["a read-only /sys", after("mount -o remount,bind,ro /sys"), []],
  ["no /sys", after("mount -t tmpfs none /sys"), []],
  [
    "no right to be spared when memory is short",
    ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource"],
    [OOM],
    OWN_SCORE - 1,
  ],
])("with %s", (_name, wrapper, output, score = OWN_SCORE) => {
  test("Services work and follow changes, and each refused setting is logged once", async () => {
    world = await World.build();
    const program = new SluiceProcess(world, { wrapper });
    const ask = { from: "a3", to: "clusterIP", number: 1, family: 4 } as const;
    program.put([service({ name: "s1", number: 1 }), ...slices("s1", ["a1"])]);
    await program.start([...DEFAULT_FLAGS, "--oom-score-adj", `${score}`]);
    expect(await answers(world, ask, { times: 4 })).toEqual(["a1"]);
    program.put(slices("s1", ["b1"]));
    await program.untilSettled();
    expect(await answers(world, ask, { times: 4 })).toEqual(["b1"]);
    expect(errorLines(program)).toEqual(output.map((text) => expect.stringMatching(text)));
  });
});
