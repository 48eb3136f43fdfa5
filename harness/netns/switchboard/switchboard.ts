/**
 * Runs the switchboard: one process with servers and clients in every namespace of a world. It
 * reports the outcome of each connection. It reads commands from standard input. When that ends for
 * any reason, it removes everything that it owns.
 */
import {
  existsSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { Clients } from "./clients.ts";
import * as libc from "./libc.ts";
import { Poller } from "./poller.ts";
import type { Answer, Reply, Request } from "./protocol.ts";
import { Servers } from "./servers.ts";

const SIGHUP = 1;
const SIGINT = 2;
const SIGTERM = 15;

const poller = new Poller();
const servers = new Servers(poller);
const clients = new Clients(poller);
const namespaces = new Set<string>();
const paths = new Set<string>();

function execute(request: Request): void {
  const { id } = request;
  const reply = (result: Reply): void => say({ id, reply: result });
  switch (request.do) {
    case "connect":
      clients.connect(request, reply);
      return;
    case "ask":
      clients.again(request, reply);
      return;
    case "hangup":
      clients.hangup(request.handle);
      break;
    case "listen":
      servers.listen(request);
      break;
    case "unlisten":
      servers.unlisten(request);
      break;
    case "sysctl":
      libc.enter(request.namespace);
      for (const [name, value] of Object.entries(request.values)) {
        writeFileSync(`/proc/sys/net/${name}`, value);
      }
      break;
    case "adopt":
      for (const namespace of request.namespaces) namespaces.add(namespace);
      for (const path of request.paths) paths.add(path);
      break;
  }
  say({ id });
}

function say(answer: Answer): void {
  try {
    writeSync(1, `${JSON.stringify(answer)}\n`);
  } catch {
    // The other side is gone; the end of standard input follows.
  }
}

/** Processes in one of our namespaces, except this one. */
function processesInside(): number[] {
  const inodes = new Set([...namespaces].filter(exists).map((name) => `net:[${inode(name)}]`));
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && inodes.has(namespaceOf(pid)));
}

function inode(namespace: string): number {
  return statSync(`/run/netns/${namespace}`).ino;
}

function exists(namespace: string): boolean {
  return existsSync(`/run/netns/${namespace}`);
}

function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return ""; // The process ended during the search.
  }
}

const GIVE_UP_MS = 2000;

function endProcessesInside(): void {
  const until = performance.now() + GIVE_UP_MS;
  for (let left = processesInside(); left.length > 0 && performance.now() < until; ) {
    for (const pid of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // The process has already exited.
      }
    }
    Bun.sleepSync(1);
    left = processesInside();
  }
}

function tidyUp(): void {
  endProcessesInside();
  libc.leaveAll();
  for (const namespace of namespaces) Bun.spawnSync(["ip", "netns", "delete", namespace]);
  for (const path of paths) rmSync(path, { recursive: true, force: true });
}

libc.ignoreSignal(SIGHUP);
libc.ignoreSignal(SIGINT);
libc.ignoreSignal(SIGTERM);

let open = true;
let pending = "";
const input = new Uint8Array(new ArrayBuffer(65536));
poller.watch(0, libc.POLLIN, () => {
  const size = libc.readPipe(0, input);
  if (size <= 0) {
    open = false;
    return;
  }
  const lines = (pending + Buffer.from(input.buffer, 0, size).toString()).split("\n");
  pending = lines.pop() ?? "";
  for (const line of lines) {
    const request: Request = JSON.parse(line);
    try {
      execute(request);
    } catch (error) {
      say({ id: request.id, error: String(error) });
    }
  }
});
try {
  while (open) poller.turn();
} finally {
  tidyUp();
}
