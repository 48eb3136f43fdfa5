/** Formats results as tables. */
import type { Comparison } from "./against.ts";
import type { ConnectionFigures, CostDifference } from "./connections.ts";
import type { ConntrackFigures } from "./conntrack.ts";
import type { RepairFigures } from "./drift.ts";
import type { ForwardingFigures } from "./forwarding.ts";
import type { IptablesFigures, IptablesResult } from "./iptables.ts";
import type { Figures } from "./measures.ts";
import type { Piece } from "./micro.ts";

/** One line of the table: its label, and the format of its figure. */
interface Row<F> {
  readonly field: keyof F;
  readonly about: string;
  readonly unit: Unit;
}

type Unit = "ms" | "us" | "MiB" | "×" | "";

/** The kernel records one peak, of all kinds of memory together. The others are sampled. */
const MEMORY_ROWS = [
  { field: "anonymousAfterStart", about: "memory: anonymous, after the start", unit: "MiB" },
  { field: "fileBackedAfterStart", about: "memory: file-backed, after the start", unit: "MiB" },
  { field: "anonymous", about: "memory: anonymous, after the changes", unit: "MiB" },
  { field: "fileBacked", about: "memory: file-backed, after the changes", unit: "MiB" },
  { field: "anonymousPeak", about: "memory: anonymous, sampled peak", unit: "MiB" },
  { field: "fileBackedPeak", about: "memory: file-backed, sampled peak", unit: "MiB" },
  { field: "peak", about: "memory: all resident, peak", unit: "MiB" },
] as const satisfies readonly Row<Figures & IptablesFigures>[];

const ROWS: readonly Row<Figures>[] = [
  {
    field: "startUnwatched",
    about: "start: exec to healthy and programmed, no listener",
    unit: "ms",
  },
  { field: "startProgrammed", about: "start: exec to all frontends in the kernel", unit: "ms" },
  { field: "startHealthy", about: "start: exec to /healthz 200", unit: "ms" },
  { field: "startTransactions", about: "start: nftables transactions", unit: "" },
  { field: "startCpu", about: "start: processor time, with child processes", unit: "ms" },
  { field: "changeP50", about: "one endpoint: API request to kernel, p50", unit: "ms" },
  { field: "changeP99", about: "one endpoint: API request to kernel, p99", unit: "ms" },
  { field: "changeAnswerP50", about: "one endpoint: API answer to kernel, p50", unit: "ms" },
  { field: "changes", about: "one endpoint: changes measured", unit: "" },
  { field: "restartHealthy", about: "restart: exec to /healthz 200", unit: "ms" },
  { field: "restartProgrammed", about: "restart: exec to the change made meanwhile", unit: "ms" },
  { field: "restartWrites", about: "restart: kernel objects written", unit: "" },
  ...MEMORY_ROWS,
  { field: "restartAnonymousPeak", about: "restart: anonymous memory, sampled peak", unit: "MiB" },
  { field: "restartPeak", about: "restart: resident memory, peak", unit: "MiB" },
];

/**
 * Formats a table of one size: a column for each proxy, and the ratio of the second to the first.
 */
export function table(size: string, results: readonly (readonly [string, Figures])[]): string {
  const [first, second] = results;
  const header = [size, ...results.map(([name]) => name), ...(second ? ["ratio"] : [])];
  const lines = [header, header.map(() => "---")];
  for (const { field, about, unit } of ROWS) {
    const cells = results.map(([, figures]) => show(figures[field], unit));
    // A ratio of times that can be negative is meaningless.
    const comparable = unit !== "" && results.every(([, figures]) => figures[field] > 0);
    const ratio =
      first && second && comparable && field !== "changeAnswerP50"
        ? [`${(second[1][field] / first[1][field]).toFixed(1)}×`]
        : second
          ? [""]
          : [];
    lines.push([about, ...cells, ...ratio]);
  }
  return drawn(lines);
}

/** Formats a comparison of two builds: medians, and the median ratio. */
export function comparisonTable(size: string, { runs, ours, other, ratio }: Comparison): string {
  const header = [`${size}, medians of ${runs} runs`, "this build", "the other", "this / other"];
  const lines = ROWS.map(({ field, about, unit }) => [
    about,
    show(ours[field], unit),
    show(other[field], unit),
    unit === "" || other[field] <= 0 ? "" : ratio[field].toFixed(3),
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

/** Formats the pieces of micro.ts: the core next to plain TypeScript. */
export function piecesTable(pieces: readonly Piece[]): string {
  const header = ["piece", "Wasm core", "TypeScript", "ratio"];
  const lines = pieces.map(({ about, wasm, typescript }) => [
    about,
    show(wasm, "ms"),
    show(typescript, "ms"),
    `${(typescript / wasm).toFixed(1)}×`,
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

/** Formats what the filter hooks cost each kind of packet. */
export function forwardingTable(runs: number, figures: readonly ForwardingFigures[]): string {
  const ns = (value: number) => `${value.toFixed(0)} ns`;
  const others = figures[0]?.others ?? [];
  const columns = others.flatMap(({ rules }) => [rules, "difference"]);
  const header = [`medians of ${runs} runs`, "this build", ...columns];
  const lines = figures.map((each) => [
    each.about,
    ns(each.hooks),
    ...each.others.flatMap((other) => [ns(other.ns), ns(other.difference)]),
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

export function connectionsTable(runs: number, figures: readonly ConnectionFigures[]): string {
  const header = [`medians of ${runs} runs`, "ours", "ours - other", "rules of hairpins"];
  const ns = (value: number) => `${value.toFixed(0)} ns`;
  const shown = ({ median, error }: CostDifference) => `${ns(median)} ± ${ns(error)}`;
  const lines = figures.map(({ about, ours, oursMinusOther, oursMinusBare }) => [
    about,
    ns(ours),
    shown(oursMinusOther),
    shown(oursMinusBare),
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

const CONNTRACK_ROWS: readonly Row<ConntrackFigures>[] = [
  { field: "passMs", about: "pass: duration", unit: "ms" },
  { field: "loopMs", about: "pass: event loop blocked", unit: "ms" },
  { field: "cpuMs", about: "pass: processor time, user and kernel", unit: "ms" },
  { field: "read", about: "pass: entries read", unit: "" },
  { field: "deleted", about: "pass: entries deleted", unit: "" },
  { field: "memory", about: "pass: resident memory added, peak", unit: "MiB" },
  { field: "quietP50", about: "change, no pass running: manifest to kernel, p50", unit: "ms" },
  { field: "quietP99", about: "change, no pass running: p99", unit: "ms" },
  { field: "quietChanges", about: "change, no pass running: number measured", unit: "" },
  { field: "meanwhileP50", about: "change during a pass: p50", unit: "ms" },
  { field: "meanwhileP99", about: "change during a pass: p99", unit: "ms" },
  { field: "meanwhileMax", about: "change during a pass: longest", unit: "ms" },
  { field: "meanwhileChanges", about: "change during a pass: number measured", unit: "" },
];

/** Formats passes over the kernel's connections: a column for each size of its table. */
export function conntrackTable(results: readonly ConntrackFigures[]): string {
  const header = ["conntrack entries", ...results.map(({ entries }) => `${entries}`)];
  const lines = CONNTRACK_ROWS.map(({ field, about, unit }) => [
    about,
    ...results.map((figures) => show(figures[field], unit)),
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

/** Formats the repairs of drift.ts. */
export function repairsTable(size: string, repairs: readonly RepairFigures[]): string {
  const header = [size, "p50", "max", "objects written"];
  const lines = repairs.map(({ about, p50, most, writes }) => [
    ...[about, show(p50, "ms"), show(most, "ms")],
    show(writes, ""),
  ]);
  return drawn([header, header.map(() => "---"), ...lines]);
}

const IPTABLES_ROWS: readonly Row<IptablesFigures>[] = [
  { field: "startServed", about: "start: exec until Services answer", unit: "ms" },
  { field: "startHealthy", about: "start: exec to /healthz 200", unit: "ms" },
  { field: "startCpu", about: "start: processor time, with tools", unit: "ms" },
  { field: "changeP50", about: "change: API request to connection, p50", unit: "ms" },
  { field: "changeP99", about: "change: p99", unit: "ms" },
  { field: "changeCpu", about: "change: processor time, with tools", unit: "ms" },
  { field: "changes", about: "change: number measured", unit: "" },
  { field: "burstP50", about: "50 changes a second: p50", unit: "ms" },
  { field: "burstP99", about: "50 changes a second: p99", unit: "ms" },
  { field: "burstMax", about: "50 changes a second: longest", unit: "ms" },
  { field: "burstRestores", about: "50 changes a second: longest, in restores", unit: "×" },
  { field: "burstCpu", about: "50 changes a second: processor time, total", unit: "ms" },
  { field: "burstChanges", about: "50 changes a second: number measured", unit: "" },
  { field: "restore", about: "restore of one unused chain by the benchmark, p50", unit: "ms" },
  { field: "rulesNat", about: "IPv4 rules in nat", unit: "" },
  { field: "rulesFilter", about: "IPv4 rules in filter", unit: "" },
  { field: "podConnectP50", about: "connect, pod to clusterIP, p50", unit: "us" },
  { field: "podConnectP99", about: "connect, pod to clusterIP, p99", unit: "us" },
  { field: "podDirectP50", about: "connect, pod to endpoint, p50", unit: "us" },
  { field: "nodeConnectP50", about: "connect, node to clusterIP, p50", unit: "us" },
  { field: "nodeDirectP50", about: "connect, node to endpoint, p50", unit: "us" },
  ...MEMORY_ROWS,
];

/**
 * Formats a table of one size: a column for each proxy and variant. Both proxies on the same
 * variant also get their ratio.
 */
export function iptablesTable(size: string, results: readonly IptablesResult[]): string {
  const pairs = results.flatMap((ours) => {
    const theirs = results.find(
      ({ proxy, variant }) => variant === ours.variant && proxy !== ours.proxy,
    );
    return ours.proxy === "sluice" && theirs ? [[ours, theirs] as const] : [];
  });
  const names = results.map(({ proxy, variant }) => `${proxy} ${variant}`);
  const header = [size, ...names, ...pairs.map(([{ variant }]) => `ratio ${variant}`)];
  const lines = IPTABLES_ROWS.map(({ field, about, unit }) => [
    about,
    ...results.map(({ figures }) =>
      typeof figures === "string" ? "" : show(figures[field], unit),
    ),
    ...pairs.map(([{ figures: ours }, { figures: theirs }]) => {
      if (unit === "" || unit === "×" || typeof ours === "string" || typeof theirs === "string")
        return "";
      return `${(theirs[field] / ours[field]).toFixed(1)}×`;
    }),
  ]);
  const missing = results.flatMap(({ figures }, index) =>
    typeof figures === "string" ? [`\n${names[index]}: ${figures}`] : [],
  );
  return drawn([header, header.map(() => "---"), ...lines]) + missing.join("");
}

function drawn(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  return lines
    .map((line) => `| ${line.map((cell, column) => pad(cell, widths[column] ?? 0)).join(" | ")} |`)
    .join("\n");
}

function show(value: number, unit: Unit): string {
  if (Number.isNaN(value)) return "";
  const digits = unit === "" || Math.abs(value) >= 100 ? 0 : 1;
  return `${value.toFixed(digits)}${unit && ` ${unit}`}`;
}

function pad(cell: string, width: number): string {
  return cell === "---" ? "-".repeat(width) : cell.padEnd(width);
}
