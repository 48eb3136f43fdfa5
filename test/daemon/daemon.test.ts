/** The compiled program with a real API server: Events, messages to systemd, --init-only. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BINARY, missingBinary } from "../../harness/binary.ts";
import {
  type ControlPlane,
  missingControlPlane,
  startControlPlane,
} from "../../harness/cluster/control-plane.ts";
import { createNode } from "../../harness/cluster/many-objects.ts";
import { runAsync } from "../../harness/commands.ts";
import { type Daemon, inNamespace, startDaemon } from "../../harness/daemon.ts";

const NODE = "here";
const GIVE_UP_MS = 20_000;

setDefaultTimeout(60_000);

const reason = missingBinary() ?? (await missingControlPlane());
if (reason !== undefined) console.log(`skip: the program with a real API server: ${reason}`);

interface EventList {
  readonly items: readonly {
    readonly type: string;
    readonly reason: string;
    readonly note?: string;
    readonly reportingController: string;
    readonly regarding: { readonly kind: string; readonly name: string; readonly uid?: string };
  }[];
}

/** Receives datagrams at a socket path, as systemd does, and prints each as a line. */
const SUPERVISOR = `
import os, socket, sys
taker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
taker.bind(sys.argv[1])
while True:
    print(taker.recv(4096).decode().replace("\\n", " "), flush=True)
`;

describe.skipIf(reason !== undefined)("dist/sluice with a real API server", () => {
  let plane: ControlPlane;
  const running: Daemon[] = [];

  beforeAll(async () => {
    plane = await startControlPlane();
    await createNode(plane.api, NODE, "10.0.0.1");
  }, 240_000);
  afterAll(() => plane?.stop());
  afterEach(async () => {
    for (const daemon of running.splice(0)) await daemon.stop("SIGKILL");
    await runAsync([...inNamespace(plane.netns.name), "nft", "flush", "ruleset"]);
  });

  function log(): string {
    return join(plane.workdir, "sluice.log");
  }

  function start(flags: readonly string[] = [], env: Record<string, string> = {}): Daemon {
    rmSync(log(), { force: true });
    const own = [`--kubeconfig=${plane.kubeconfigs.proxy}`, `--hostname-override=${NODE}`];
    const command = [BINARY, ...own, "--cluster-cidr=10.128.0.0/9", ...flags];
    const daemon = startDaemon(plane.netns.name, command, log(), env);
    running.push(daemon);
    return daemon;
  }

  async function eventually<T>(ask: () => Promise<T | undefined> | T | undefined): Promise<T> {
    const until = performance.now() + GIVE_UP_MS;
    for (;;) {
      const answer = await ask();
      if (answer !== undefined) return answer;
      if (performance.now() > until) throw new Error(`not within ${GIVE_UP_MS} ms:\n${output()}`);
      await Bun.sleep(20);
    }
  }

  const output = (): string => (existsSync(log()) ? readFileSync(log(), "utf8") : "");

  function event(wanted: string): Promise<EventList["items"][number]> {
    const path = "/apis/events.k8s.io/v1/namespaces/default/events";
    return eventually(async () => {
      const { items } = await plane.api.request<EventList>("GET", path);
      return items.find(({ reason }) => reason === wanted);
    });
  }

  test("records an Event on its Node at start, as kube-proxy does", async () => {
    start();
    const { regarding, ...rest } = await event("Starting");
    expect(rest).toMatchObject({ type: "Normal", reportingController: "kube-proxy" });
    expect(regarding).toMatchObject({ kind: "Node", name: NODE });
    const node = await plane.api.request<{ metadata: { uid: string } }>(
      "GET",
      `/api/v1/nodes/${NODE}`,
    );
    expect(regarding.uid).toBe(node.metadata.uid);
  });

  test("records an Event on its Node for a port that is taken, and exits if configured so", async () => {
    const holder = startDaemon(
      plane.netns.name,
      ["python3", "-m", "http.server", "--bind", "0.0.0.0", "10256"],
      join(plane.workdir, "holder.log"),
    );
    running.push(holder);
    const free = [...inNamespace(plane.netns.name), "ss", "-Hltn", "sport = :10256"];
    await eventually(async () => ((await runAsync(free)) === "" ? undefined : true));
    const daemon = start(["--bind-address-hard-fail"]);
    await eventually(() => output().includes("LISTEN_FAILED") || undefined);
    expect(await daemon.exited).toBe(1);
    expect(output()).toContain('code="LISTEN_FAILED"');
    expect(output()).not.toContain("retrying every");
    const { note, type } = await event("FailedToStartProxierHealthcheck");
    expect(type).toBe("Warning");
    expect(note).toContain("10256");
  });

  test("notifies its supervisor when it serves, while it runs, and when it stops", async () => {
    const socket = join(plane.workdir, "notify");
    const received = join(plane.workdir, "heard");
    const supervisor = startDaemon("", ["python3", "-u", "-c", SUPERVISOR, socket], received);
    running.push(supervisor);
    await eventually(() => (existsSync(socket) ? true : undefined));
    const daemon = start([], { NOTIFY_SOCKET: socket, WATCHDOG_USEC: "200000" });
    const has = (word: string) => () => readFileSync(received, "utf8").includes(word) || undefined;
    await eventually(has("READY=1 STATUS=serving 1 Services"));
    await eventually(has("WATCHDOG=1"));
    await daemon.stop("SIGTERM");
    await eventually(has("STOPPING=1"));
  });

  test("--init-only prepares the node and exits, without rules or an API server", async () => {
    const netns = inNamespace(plane.netns.name);
    const timeout = "net.netfilter.nf_conntrack_tcp_timeout_close_wait";
    const flags = [
      "--init-only",
      "--master=https://127.0.0.1:1",
      "--conntrack-tcp-timeout-close-wait=2h",
    ];
    const child = Bun.spawn([...netns, BINARY, ...flags], { stderr: "pipe" });
    expect(await child.exited).toBe(0);
    const logged = await child.stderr.text();
    expect(logged).toContain("System initialized and --init-only specified");
    // The process that serves warns of node ports and clusterCIDR.
    expect(logged).not.toMatch(/] (Node ports|Without clusterCIDR)/);
    expect((await runAsync([...netns, "sysctl", "-n", timeout])).trim()).toBe("7200");
    expect((await runAsync([...netns, "nft", "list", "ruleset"])).trim()).toBe("");
  });
});
