/** The demo's claims hold, it terminates, and it leaves nothing behind. */
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const RUN = join(import.meta.dir, "../../demo/run.sh");
const TIMEOUT_MS = 180_000;
const COLUMNS = 100;
const STRANGER = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"];

interface Running {
  readonly pid: number;
  /** Process id of the demo, once it has printed its command line. */
  demo(): number;
  /** Waits until it has printed the text. */
  printed(text: string): Promise<void>;
  /** Its complete output so far. */
  text(): string;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal to all processes of its group, as a terminal does. */
  killGroup(signal: NodeJS.Signals): void;
  /** Resolves when it has exited and its output is closed. */
  readonly ended: Promise<{ code: number; text: string; complaints: string }>;
}

function run(options: readonly string[], as: readonly string[] = []): Running {
  return start([...as, "bash", RUN, ...options]);
}

/** Runs a command line that shows the demo, in its own process group. */
function start(command: readonly string[]): Running {
  const child = Bun.spawn([...command], {
    cwd: join(import.meta.dir, "../.."),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, HOME: tmpdir() },
    detached: true,
  });
  const messages = new Response(child.stderr).text();
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
    text: () => text,
    demo: () => Number(/sluice-(\d+)-/.exec(text)?.[1]),
    async printed(wanted) {
      while (!text.includes(wanted)) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    kill: (signal) => child.kill(signal),
    killGroup: (signal) => process.kill(-child.pid, signal),
    ended: (async () => {
      const code = await child.exited;
      await reading;
      return { code, text, complaints: await messages };
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
    return ""; // The process ended during the search.
  }
}

/** The command lines that it invites to paste, except the editor. */
function invited(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("ip netns exec"));
}

const CLAIMS = [
  /ok {2}every connection was answered, and each of the three pods got its share/,
  /ok {2}shop\/soon has no pods yet: 10\.96\.0\.30 refuses/,
  /ok {2}shop\/soon has no pods yet: fd00:10:96::30 refuses/,
  /ok {2}\d+(\.\d+)? ms after the file changed, the last connection reached a2/,
  / ms to notice and read the file, .* to sync \(.* of it in the kernel\)/,
  /ok {2}of \d+ connections during this, none was lost/,
  /ok {2}each client always reached the same pod \(IPv4\)/,
  /ok {2}each client always reached the same pod \(IPv6\)/,
  /ok {2}of \d+ connections, none was lost; the slowest took/,
  /ok {2}it is healthy/,
  /ok {2}90 more connections, and the Service's counter grew by that number/,
  /ok {2}every check passed/,
  /Memory: \d+ MiB anonymous, \d+ MiB file-backed/,
];

test(
  "every check of the demo passes, and it leaves nothing behind",
  async () => {
    const demo = run([]);
    const { code, text } = await demo.ended;
    expect(text.split("\n").filter((line) => line.includes("FAILED"))).toEqual([]);
    for (const claim of CLAIMS) expect(text).toMatch(claim);
    expect(text).not.toContain("\u001b[");
    expect(text.split("\n").filter((line) => line.length > COLUMNS)).toEqual([]);
    expect(code).toBe(0);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

const EXITS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
const MOMENTS = [
  "Two nodes, pods and a client",
  "reads Services and EndpointSlices",
  "Clients reach the Service",
  "Traffic follows",
  "interrupts no traffic",
];

const INTERRUPTIONS = [
  ...MOMENTS.map((moment) => ({ signal: "SIGINT" as const, moment })),
  { signal: "SIGHUP" as const, moment: "Traffic follows" },
  { signal: "SIGTERM" as const, moment: "Traffic follows" },
];

test.each(INTERRUPTIONS)(
  "$signal to the demo's group at '$moment': it prints one line and leaves nothing behind",
  async ({ signal, moment }) => {
    const demo = run([]);
    await demo.printed(moment);
    demo.killGroup(signal);
    const { code, text, complaints: messages } = await demo.ended;
    expect(text).toEndWith(
      `\nInterrupted (${signal}). The namespaces and everything in them were removed.\n`,
    );
    expect(text).not.toContain("FAILED");
    expect(messages).toBe("");
    expect(code).toBe(EXITS[signal]);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

test.each([
  { signal: "SIGTERM", options: [], moment: "Clients reach the Service", when: "in the middle" },
  { signal: "SIGKILL", options: [], moment: "Clients reach the Service", when: "in the middle" },
  { signal: "SIGTERM", options: ["--keep"], moment: "web.yaml\n", when: "after the scenes" },
  { signal: "SIGKILL", options: ["--keep"], moment: "web.yaml\n", when: "after the scenes" },
] as const)(
  "$signal to npm $when: the demo leaves nothing behind",
  async ({ signal, options, moment }) => {
    const npm = start(["npm", "run", "demo", "--", ...options]);
    await npm.printed(moment);
    const demo = npm.demo();
    expect(leftOf(demo)).not.toEqual([]);
    npm.kill(signal);
    expect((await npm.ended).text).toContain("namespaces and everything in them were removed");
    expect(leftOf(demo)).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "a demo without a reader leaves nothing behind",
  async () => {
    const piped = start(["bash", "-c", `bash ${RUN} | grep -m1 -o -e '--manifests.*'`]);
    const { code, text } = await piped.ended;
    expect(code).toBe(0);
    expect(text).toContain("sluice-");
    expect(leftOf(piped.demo())).toEqual([]);
  },
  TIMEOUT_MS,
);

test.each([{ options: ["--kep"] }, { options: ["--keep", "more"] }])(
  "$options: the last option is refused, with the usage",
  async ({ options }) => {
    const { code, text, complaints: messages } = await run(options).ended;
    expect({ code, text }).toEqual({ code: 2, text: "" });
    expect(messages).toContain("usage: npm run demo [-- --keep]");
    expect(messages).toContain(`demo: unknown option "${options.at(-1)}"\n`);
  },
);

test(
  "with --keep it runs until it is interrupted",
  async () => {
    const demo = run(["--keep"]);
    await demo.printed("end it with Ctrl-C");
    await demo.printed("web.yaml\n");
    expect(leftOf(demo.pid)).not.toEqual([]);
    for (const line of invited(demo.text())) {
      const tried = Bun.spawnSync(["timeout", "20", "bash", "-c", line], { stdout: "pipe" });
      expect({ line, code: tried.exitCode }).toEqual({ line, code: 0 });
      expect(tried.stdout.toString()).not.toBe("");
    }
    demo.kill("SIGINT");
    expect((await demo.ended).code).toBe(0);
    expect(leftOf(demo.pid)).toEqual([]);
  },
  TIMEOUT_MS,
);

const missingRequirement = missingForStrangers();
if (missingRequirement !== "")
  console.log(`skip: the demo without privileges: ${missingRequirement}`);

/** The reason why an unprivileged user cannot run it here, or "". */
function missingForStrangers(): string {
  if (process.getuid?.() !== 0) return "only root can become somebody else";
  const tried = Bun.spawnSync([...STRANGER, "unshare", "-Urnm", "cat", RUN], {
    stdout: "ignore",
    stderr: "pipe",
  });
  return tried.success ? "" : tried.stderr.toString().trim();
}

test.skipIf(missingRequirement !== "")(
  "an unprivileged user can run it",
  async () => {
    const demo = run([], STRANGER);
    const { code, text } = await demo.ended;
    expect(text.split("\n").filter((line) => line.includes("FAILED"))).toEqual([]);
    expect(text).toMatch(/ok {2}every check passed/);
    expect(code).toBe(0);
  },
  TIMEOUT_MS,
);
