/** Reads docs/metrics.md as data. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** The mode that has the metric, if only one has it. */
  readonly mode?: "nftables" | "iptables";
}

const FILE = join(import.meta.dir, "../../docs/metrics.md");

/** Returns the metrics in the tables of the sections about a path. */
export function documentedMetrics(path: "/metrics" | "/metrics/slis"): DocumentedMetric[] {
  return sections()
    .filter(({ heading }) => heading.endsWith(`on ${path}`) || heading === path)
    .flatMap(({ rows }) =>
      rows.flatMap(([names = "", type = "", labels = "", what = ""]) => {
        const [, mode] = /^(nftables|iptables) mode: /.exec(what) ?? [];
        return namesIn(names).map((name) => ({
          name,
          type,
          labels: labels === "" ? [] : labels.split(", "),
          ...((mode === "nftables" || mode === "iptables") && { mode }),
        }));
      }),
    );
}

/**
 * Returns the names of kube-proxy's metrics that Sluice lacks. A name that ends in `*` is a prefix.
 */
export function absentMetrics(): string[] {
  return sections()
    .filter(({ heading }) => heading === "Missing metrics")
    .flatMap(({ rows }) => rows.flatMap(([names = ""]) => namesIn(names)));
}

/** Returns the names in a cell: "`a`, `b`". */
function namesIn(cell: string): string[] {
  return cell.replaceAll("`", "").split(", ");
}

function sections(): { readonly heading: string; readonly rows: string[][] }[] {
  return readFileSync(FILE, "utf8")
    .split(/^## /m)
    .map((section) => ({
      heading: section.slice(0, section.indexOf("\n")),
      rows: section
        .split("\n")
        .filter((line) => line.startsWith("| `"))
        .map((line) =>
          line
            .split("|")
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
    }));
}
