import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../harness/fakes/fake-clock.ts";
import { readableLog } from "../../harness/fakes/readable-log.ts";
import { SystemdNotifier } from "../../src/host/systemd-notify.ts";
import { bind, close, recv, socket } from "../../src/os/libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0x800;
const PERIOD_MS = 10_000;

/** A socket like the one of systemd. */
function supervisor(path: string) {
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
  const address = new Uint8Array(new ArrayBuffer(2 + name.length));
  address[0] = AF_UNIX;
  address.set(name, 2);
  const fd = socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
  expect(bind(fd, address)).toBe(0);
  const buffer = new Uint8Array(new ArrayBuffer(4096));
  return {
    /** All datagrams since the last call. */
    received() {
      const messages: string[] = [];
      for (let n = recv(fd, buffer, 0); n >= 0; n = recv(fd, buffer, 0)) {
        messages.push(Buffer.from(buffer.buffer, 0, n).toString());
      }
      return messages;
    },
    close: () => close(fd),
  };
}

let directory: string;
let path: string;
let clock: FakeClock;
let healthy: boolean;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sluice-notify-"));
  path = join(directory, "notify");
  clock = new FakeClock();
  healthy = true;
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function notifier(environment: { [name: string]: string | undefined }) {
  const { log, lines } = readableLog();
  const one = new SystemdNotifier({ environment, pid: 77, clock, log, healthy: () => healthy });
  return { notifier: one, lines, environment };
}

describe.each(["a path", "an abstract name"])("a supervisor on %s", (kind) => {
  beforeEach(() => {
    if (kind === "an abstract name") path = `@sluice-test-${process.pid}-${directory}`;
  });

  test("receives that the service is ready, in one line, that it stops, and nothing afterwards", async () => {
    const { received, close } = supervisor(path);
    const { notifier: one, lines } = notifier({ NOTIFY_SOCKET: path });
    expect(received()).toEqual([]);
    one.ready("100\nServices");
    one.stopping();
    one.ready("late");
    expect(received()).toEqual(["READY=1\nSTATUS=100 Services", "STOPPING=1"]);
    expect(lines).toEqual([]);
    close();
  });

  test("receives two watchdog messages per period while the service is healthy", async () => {
    const { received, close } = supervisor(path);
    const { notifier: one } = notifier({
      NOTIFY_SOCKET: path,
      WATCHDOG_USEC: `${PERIOD_MS * 1000}`,
      WATCHDOG_PID: "77",
    });
    await clock.advance(PERIOD_MS);
    expect(received()).toEqual(["WATCHDOG=1", "WATCHDOG=1"]);
    healthy = false;
    await clock.advance(PERIOD_MS);
    expect(received()).toEqual([]);
    healthy = true;
    await clock.advance(PERIOD_MS / 2);
    expect(received()).toEqual(["WATCHDOG=1"]);
    one.stopping();
    await clock.advance(PERIOD_MS);
    expect(received()).toEqual(["STOPPING=1"]);
    close();
  });
});

test("the watchdog of another process is not ours", async () => {
  const { received, close } = supervisor(path);
  notifier({ NOTIFY_SOCKET: path, WATCHDOG_USEC: "1000", WATCHDOG_PID: "78" });
  await clock.advance(PERIOD_MS);
  expect(received()).toEqual([]);
  close();
});

test("child processes do not inherit the variables", async () => {
  const { environment } = notifier({
    NOTIFY_SOCKET: path,
    WATCHDOG_USEC: "0",
    WATCHDOG_PID: "77",
    HOME: "/",
  });
  expect(environment).toEqual({ HOME: "/" });
});

test("without a supervisor nothing is sent or logged", async () => {
  const { notifier: one, lines } = notifier({ WATCHDOG_USEC: "1000" });
  one.ready("");
  one.stopping();
  await clock.advance(PERIOD_MS);
  expect(lines).toEqual([]);
});

test("an absent supervisor is logged once, and receives later messages when it listens", async () => {
  const { notifier: one, lines } = notifier({ NOTIFY_SOCKET: path });
  one.ready("");
  one.ready("");
  expect(lines).toEqual([
    'W Could not notify systemd message="READY=1\\nSTATUS=" err="no such file or directory (ENOENT)"',
  ]);
  const { received, close } = supervisor(path);
  one.ready("back");
  expect(received()).toEqual(["READY=1\nSTATUS=back"]);
  close();
});

test.each(["relative", `/${"x".repeat(108)}`])(
  "an invalid socket name is logged: %s",
  async (name) => {
    const { notifier: one, lines } = notifier({ NOTIFY_SOCKET: name });
    one.ready("");
    expect(lines).toEqual([
      `W Ignored NOTIFY_SOCKET, which is not an absolute path or abstract name value="${name}"`,
    ]);
  },
);
