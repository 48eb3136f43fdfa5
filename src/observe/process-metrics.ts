/**
 * process_*: what the kernel says of this process, by the names every Prometheus client has. Of the
 * network it counts the whole namespace, which for a proxy is the node; as upstream's client does.
 */
import { readdirSync, readFileSync } from "node:fs";
import { type Instrument, readingOf } from "./instruments.ts";

/** The files of /proc/self; replaced in tests. */
export interface ProcessFiles {
  /** @throws when there is no such file, or it must not be read */
  text(name: string): string;
  /** Names in a folder. @throws likewise */
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
    // The one that reads the folder is gone by the time it is counted.
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
 * Read now. What cannot be read is left out; the names are the same always, for the documentation's
 * sake.
 */
export function processInstruments(startedAt: number, files: ProcessFiles = SELF): Instrument[] {
  const read = READINGS.map(([type, name, help, reading]): Instrument => {
    const value = attempt(() => reading(files));
    const described = readingOf(type, { name: `process_${name}`, help }, value ?? 0);
    return value === undefined ? { ...described, samples: () => [] } : described;
  });
  const help = "Start time of the process since unix epoch in seconds.";
  const started = { name: "process_start_time_seconds", help };
  return [...read, readingOf("gauge", started, startedAt / 1000)];
}

function attempt(read: () => number | undefined): number | undefined {
  try {
    const value = read();
    return Number.isNaN(value) ? undefined : value;
  } catch {
    return undefined;
  }
}

/** `VmRSS:	   45000 kB` of proc_pid_status(5), in bytes. */
function kilobytes(files: ProcessFiles, field: string): number {
  const [, text] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(files.text("status")) ?? [];
  return Number(text) * 1024;
}

/**
 * The soft limit of proc_pid_limits(5); without one the largest number of 64 bits, as Go's client
 * has it.
 */
function limit(files: ProcessFiles, field: string): number {
  const [, text] = new RegExp(`^${field} +(\\S+)`, "m").exec(files.text("limits")) ?? [];
  return text === "unlimited" ? 2 ** 64 : Number(text);
}

/** A column of IpExt in proc_pid_net(5): a line of names, and one of numbers. */
function octets(files: ProcessFiles, column: string): number | undefined {
  const [names, numbers] = files
    .text("net/netstat")
    .split("\n")
    .filter((line) => line.startsWith("IpExt:"))
    .map((line) => line.split(" "));
  const at = names?.indexOf(column) ?? -1;
  return at < 0 ? undefined : Number(numbers?.[at]);
}
