/** The demo does what it says, ends by itself, and leaves nothing behind. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RUN = join(import.meta.dir, "../demo/run.sh");
const TIMEOUT_MS = 180_000;
const STRANGER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];

interface Running {
  readonly pid: number;
  /** Waits until it has printed the text. */
  printed(text: string): Promise<void>;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ code: number; text: string }>;
}

function run(options: readonly string[], as: readonly string[] = []): Running {
  const child = Bun.spawn([...as, "bash", RUN, ...options], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, HOME: tmpdir() },
  });
  let text = "";
  let wake = (): void => {};
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk, { stream: true });
      wake();
    }
  })();
  return {
    pid: child.pid,
    async printed(wanted) {
      while (!text.includes(wanted)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    kill: (signal) => child.kill(signal),
    ended: (async () => {
      const code = await child.exited;
      await reading;
      return { code, text };
    })(),
  };
}

/** Namespaces, processes and files of the demo with this process id. */
function leftOf(pid: number): string[] {
  const mark = `sluice-${pid}-`;
  const names = ["/run/netns", tmpdir()].flatMap((directory) =>
    existsSync(directory) ? readdirSync(directory).filter((name) => name.startsWith(mark)) : [],
  );
  const processes = readdirSync("/proc").filter((each) => commandOf(each).includes(mark));
  return [...names, ...processes];
}

function commandOf(pid: string): string {
  try {
    return /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, "utf8") : "";
  } catch {
    return ""; // It ended while we looked.
  }
}

const CLAIMS = [
  /ok {2}every connection was answered, and each of the three pods had its share/,
  /ok {2}shop\/soon has no pods yet: 10\.96\.0\.30 refuses/,
  /ok {2}shop\/soon has no pods yet: fd00:10:96::30 refuses/,
  /ok {2}\d+(\.\d+)? ms after the file changed, the last connection went to a2/,
  /ok {2}of \d+ connections meanwhile none was lost/,
  /ok {2}each client always met its own pod \(IPv4\)/,
  /ok {2}each client always met its own pod \(IPv6\)/,
  /ok {2}of \d+ connections none was lost; it was healthy again after/,
  /ok {2}it is healthy/,
  /ok {2}90 more connections, and the Service's counter grew by as many/,
  /ok {2}everything above is so/,
];

test(
  "the demo shows that all it claims is so, and leaves nothing behind",
  async () => {
    const demo = run([]);
    const { code, text } = await demo.ended;
    expect(text.split("\n").filter((line) => line.includes("NOT SO"))).toEqual([]);
    for (const claim of CLAIMS) expect(text).toMatch(claim);
    expect(text).not.toContain("\u001b[");
    expect(code).toBe(0);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

test.each(["SIGINT", "SIGTERM"] as const)(
  "a demo that is interrupted by %s leaves nothing behind",
  async (signal) => {
    const demo = run([]);
    await demo.printed("Clients reach the pods");
    demo.kill(signal);
    expect((await demo.ended).code).toBe(signal === "SIGINT" ? 130 : 143);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "--keep leaves it running until it is interrupted",
  async () => {
    const demo = run(["--keep"]);
    await demo.printed("end it with Ctrl-C");
    await demo.printed("web.yaml\n");
    expect(leftOf(demo.pid)).not.toEqual([]);
    demo.kill("SIGINT");
    expect((await demo.ended).code).toBe(0);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

const obstacle = obstacleToStrangers();

/** Why somebody without privileges cannot run it here, or "". */
function obstacleToStrangers(): string {
  if (process.getuid?.() !== 0) return "only root can become somebody else";
  const tried = Bun.spawnSync([...STRANGER, "unshare", "-Urnm", "cat", RUN], {
    stdout: "ignore",
    stderr: "pipe",
  });
  return tried.success ? "" : tried.stderr.toString().trim();
}

test.skipIf(obstacle !== "")(
  `somebody without privileges can run it${obstacle === "" ? "" : ` (skipped: ${obstacle})`}`,
  async () => {
    const demo = run([], STRANGER);
    const { code, text } = await demo.ended;
    expect(text.split("\n").filter((line) => line.includes("NOT SO"))).toEqual([]);
    expect(text).toMatch(/ok {2}everything above is so/);
    expect(code).toBe(0);
  },
  TIMEOUT_MS,
);
