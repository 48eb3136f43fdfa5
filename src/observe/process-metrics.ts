/**
 * Reads the process_* metrics from the kernel, under the names that every Prometheus client uses.
 * As in kube-proxy, network bytes belong to the whole namespace, which for a proxy is the node.
 */
import { readdirSync, readFileSync } from "node:fs";
import { type Instrument, valueInstrument } from "./instruments.ts";

/** The files of /proc/self; replaced in tests. */
export interface ProcessFiles {
  /** @throws if the file does not exist or cannot be read */
  text(name: string): string;
  /**
   * Returns the names in a folder.
   * @throws like `text`
   */
  list(name: string): readonly string[];
}

const SELF: ProcessFiles = {
  text: (name) => readFileSync(`/proc/self/${name}`, "latin1"),
  list: (name) => readdirSync(`/proc/self/${name}`),
};

type Reading = readonly [
  type: "counter" | "gauge",
  name: string,
  help: string,
  read: (files: ProcessFiles) => number | undefined,
];

const READINGS: readonly Reading[] = [
  [
    "counter",
    "cpu_seconds_total",
    "Total user and system CPU time spent in seconds.",
    () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
  ],
  [
    "gauge",
    "open_fds",
    "Number of open file descriptors.",
    // Do not count the descriptor that reads the folder.
    (files) => files.list("fd").length - 1,
  ],
  [
    "gauge",
    "max_fds",
    "Maximum number of open file descriptors.",
    (files) => limit(files, "Max open files"),
  ],
  [
    "gauge",
    "virtual_memory_bytes",
    "Virtual memory size in bytes.",
    (files) => kilobytes(files, "VmSize"),
  ],
  [
    "gauge",
    "virtual_memory_max_bytes",
    "Maximum amount of virtual memory available in bytes.",
    (files) => limit(files, "Max address space"),
  ],
  [
    "gauge",
    "resident_memory_bytes",
    "Resident memory size in bytes.",
    (files) => kilobytes(files, "VmRSS"),
  ],
  [
    "counter",
    "network_receive_bytes_total",
    "Number of bytes received by the process over the network.",
    (files) => octets(files, "InOctets"),
  ],
  [
    "counter",
    "network_transmit_bytes_total",
    "Number of bytes sent by the process over the network.",
    (files) => octets(files, "OutOctets"),
  ],
];

/**
 * Reads all values now. Values that cannot be read are left out. The metric names stay the same, so
 * that the documentation can list them.
 */
export function processInstruments(startedAt: number, files: ProcessFiles = SELF): Instrument[] {
  const read = READINGS.map(([type, name, help, reading]): Instrument => {
    const value = attempt(() => reading(files));
    const described = valueInstrument(type, { name: `process_${name}`, help }, value ?? 0);
    return value === undefined ? { ...described, samples: () => [] } : described;
  });
  const help = "Start time of the process since unix epoch in seconds.";
  const started = { name: "process_start_time_seconds", help };
  return [...read, valueInstrument("gauge", started, startedAt / 1000)];
}

function attempt(read: () => number | undefined): number | undefined {
  try {
    const value = read();
    return Number.isNaN(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** Reads a line like `VmRSS:	   45000 kB` of proc_pid_status(5). Returns bytes. */
function kilobytes(files: ProcessFiles, field: string): number {
  const [, text] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(files.text("status")) ?? [];
  return Number(text) * 1024;
}

/**
 * Returns a soft limit of proc_pid_limits(5), or as Go's client the largest 64-bit number if there
 * is none.
 */
function limit(files: ProcessFiles, field: string): number {
  const [, text] = new RegExp(`^${field} +(\\S+)`, "m").exec(files.text("limits")) ?? [];
  return text === "unlimited" ? 2 ** 64 : Number(text);
}

/** Reads a column of IpExt in proc_pid_net(5), which has a line of names and a line of numbers. */
function octets(files: ProcessFiles, column: string): number | undefined {
  const [names, numbers] = files
    .text("net/netstat")
    .split("\n")
    .filter((line) => line.startsWith("IpExt:"))
    .map((line) => line.split(" "));
  const at = names?.indexOf(column) ?? -1;
  return at < 0 ? undefined : Number(numbers?.[at]);
}
