/**
 * Finds the kube-proxies that run in our network namespace, through /proc. It finds none from a
 * container with its own process namespace, and none that is part of another program, as in k3s.
 */
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { basename, join } from "node:path";

const NAME = "kube-proxy";
/** The initial process namespace: PROC_PID_INIT_INO in linux/proc_ns.h. */
const ALL_PROCESSES = "pid:[4026531836]";
const PROCESS_GONE = " (deleted)";

/** A process. Properties that cannot be read are undefined. */
export interface Process {
  /** Its name in the kernel. */
  readonly comm: string | undefined;
  /** The path of its executable in its own file system. */
  readonly exe: string | undefined;
  /** Device and inode of the executable. */
  readonly file: string | undefined;
  /** Its network namespace: `net:[4026531840]`. */
  readonly network: string | undefined;
}

type Names = Pick<Process, "comm" | "exe">;

export interface KubeProxyProcesses {
  /** Process ids of the kube-proxies, in ascending order. */
  readonly pids: readonly number[];
  /**
   * All processes of the machine are visible, so every kube-proxy that is a separate program is
   * found.
   */
  readonly all: boolean;
}

/**
 * Reports whether this is a kube-proxy in our network namespace. A Sluice under the name kube-proxy
 * does not count: its image has a link with that name.
 */
export function isKubeProxy(process: Process, self: Process): boolean {
  const { exe, file, network } = process;
  if (exe === undefined || network === undefined || network !== self.network) return false;
  if (!isNamedKubeProxy(process)) return false;
  const ours = file !== undefined && file === self.file;
  // The same path is a different file in another container. The name alone proves nothing.
  return !ours && (exe !== self.exe || programOf(exe) === NAME);
}

function isNamedKubeProxy({ comm, exe }: Names): boolean {
  return comm === NAME || (exe !== undefined && programOf(exe) === NAME);
}

/**
 * Searches `proc` for kube-proxies other than `own`. Never rejects: it skips processes that it
 * cannot read.
 */
export async function findKubeProxyProcesses(
  proc = "/proc",
  own = process.pid,
): Promise<KubeProxyProcesses> {
  const self = await read(join(proc, String(own)), () => true);
  const found = new Map<number, number>();
  for (const entry of (await attempt(readdir(proc))) ?? []) {
    if (!/^\d+$/.test(entry) || entry === String(own)) continue;
    const folder = join(proc, entry);
    if (!isKubeProxy(await read(folder, isNamedKubeProxy), self)) continue;
    found.set(
      Number(entry),
      parentIn((await attempt(readFile(join(folder, "stat"), "utf8"))) ?? ""),
    );
  }
  const namespace = await attempt(readlink(join(proc, String(own), "ns/pid")));
  const first = await attempt(readlink(join(proc, "1/ns/net")));
  const all = namespace === ALL_PROCESSES && first !== undefined;
  // A child that kube-proxy has just forked briefly has kube-proxy's name.
  const pids = [...found].filter(([, parent]) => !found.has(parent)).map(([pid]) => pid);
  return { pids: pids.toSorted((a, b) => a - b), all };
}

/** `12 (its name) S 7 ...`: the name may contain any character. */
function parentIn(status: string): number {
  return Number(status.slice(status.lastIndexOf(")")).split(" ")[2]);
}

/** `kube-proxy (pid 12)` */
export function printProcesses(pids: readonly number[]): string {
  return `${NAME} (pid ${pids.join(", ")})`;
}

/** Reads only `wanted` processes completely, because there are many. */
async function read(folder: string, wanted: (names: Names) => boolean): Promise<Process> {
  const comm = (await attempt(readFile(join(folder, "comm"), "utf8")))?.trim();
  const exe = await attempt(readlink(join(folder, "exe")));
  if (!wanted({ comm, exe })) return { comm, exe, file: undefined, network: undefined };
  const file = await attempt(stat(join(folder, "exe")));
  const network = await attempt(readlink(join(folder, "ns/net")));
  return { comm, exe, file: file && `${file.dev}:${file.ino}`, network };
}

function programOf(exe: string): string {
  return basename(exe.endsWith(PROCESS_GONE) ? exe.slice(0, -PROCESS_GONE.length) : exe);
}

async function attempt<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch {
    return undefined;
  }
}
