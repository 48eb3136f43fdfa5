/** Reads docs/metrics.md as data. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  /** The backend that a metric requires, if any. */
  readonly mode?: "nftables" | "iptables";
}

const FILE = join(import.meta.dir, "../../docs/metrics.md");

/** Metrics in the tables of all sections with this heading. */
export function documentedMetrics(path: "/metrics" | "/metrics/slis"): DocumentedMetric[] {
  return sections()
    .filter(({ heading }) => heading.endsWith(`on ${path}`) || heading === path)
    .flatMap(({ rows }) =>
      rows.map(([name = "", type = "", labels = "", what = ""]) => {
        const [, mode] = /^with (nftables|iptables): /.exec(what) ?? [];
        return {
          name: name.replaceAll("`", ""),
          type,
          labels: labels === "" ? [] : labels.split(", "),
          ...((mode === "nftables" || mode === "iptables") && { mode }),
        };
      }),
    );
}

/** Names of upstream's metrics that we do not have. A name that ends in `*` is a prefix. */
export function absentMetrics(): string[] {
  return sections()
    .filter(({ heading }) => heading === "Upstream's that do not exist here")
    .flatMap(({ rows }) => rows.flatMap(([names = ""]) => names.replaceAll("`", "").split(", ")));
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
