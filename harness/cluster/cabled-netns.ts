/** Creates network namespaces that are linked to ours. */
import { readdirSync } from "node:fs";
import { run } from "../commands.ts";

/** A network namespace that a veth pair links to ours. */
export interface Namespace {
  readonly name: string;
  /** The address of its end of the link. */
  readonly address: string;
  /** The address of our end. */
  readonly outside: string;
  /** Removes it with every process in it. May be called twice. */
  remove(): void;
}

const PREFIX = "sl-cluster-";
const live = new Set<Namespace>();

/**
 * Makes a network namespace, or links one that exists. Both are named after this process, and
 * removed when it exits. If the process is killed, the next one removes them.
 */
export function createNamespace(existing?: string): Namespace {
  removeOrphans();
  const { index, name } = claimIndex(existing);
  // 198.18.0.0/15 is reserved for tests of network devices (RFC 2544), so no real network uses it.
  const address = `198.18.${index}.2`;
  const outside = `198.18.${index}.1`;
  const cable = cableName(index);
  let removed = false;
  const namespace: Namespace = {
    name,
    address,
    outside,
    remove() {
      if (removed) return;
      removed = true;
      live.delete(namespace);
      if (existing === undefined) removeNamespace(name);
      else Bun.spawnSync(["ip", "link", "del", cable]);
    },
  };
  if (live.size === 0) process.once("exit", removeAll);
  live.add(namespace);
  run("ip", "addr", "add", `${outside}/30`, "dev", cable);
  run("ip", "link", "set", cable, "up");
  run("ip", "-n", name, "link", "set", "lo", "up");
  run("ip", "-n", name, "addr", "add", `${address}/30`, "dev", insideName(index));
  run("ip", "-n", name, "link", "set", insideName(index), "up");
  run("ip", "-n", name, "route", "replace", "default", "via", outside);
  return namespace;
}

/** Finds an unused number. Creating the link is the atomic step. */
function claimIndex(existing: string | undefined): { index: number; name: string } {
  for (let index = 0; index < 256; index++) {
    const name = existing ?? `${PREFIX}${process.pid}-${index}`;
    if (existing === undefined) run("ip", "netns", "add", name);
    const link = Bun.spawnSync([
      ...["ip", "link", "add", cableName(index), "type", "veth"],
      ...["peer", "name", insideName(index), "netns", name],
    ]);
    if (link.success) return { index, name };
    if (existing === undefined) run("ip", "netns", "del", name);
    if (!link.stderr.toString().includes("File exists")) {
      throw new Error(`add veth pair: ${link.stderr.toString().trim()}`);
    }
  }
  throw new Error("add veth pair: all 256 names are in use");
}

function cableName(index: number): string {
  return `slcable${index}`;
}

function insideName(index: number): string {
  return `slinside${index}`;
}

function removeNamespace(name: string): void {
  const pids = Bun.spawnSync(["ip", "netns", "pids", name]).stdout.toString();
  for (const pid of pids.split("\n").filter((line) => line !== "")) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // The process ended between the two calls.
    }
  }
  Bun.spawnSync(["ip", "netns", "del", name]);
}

/** Returns the namespaces of dead processes. */
function removeOrphans(): void {
  for (const name of namespaces()) {
    const owner = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1]);
    if (owner > 0 && !isAlive(owner)) removeNamespace(name);
  }
}

function namespaces(): string[] {
  try {
    return readdirSync("/run/netns");
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function removeAll(): void {
  for (const namespace of [...live]) namespace.remove();
}
