/** Parses Prometheus text. */
export interface PrintedMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  /** Label names of its samples, without `le`; undefined while it has no samples. */
  readonly labels: readonly string[] | undefined;
  /** `name{labels} value` lines. */
  readonly samples: readonly string[];
}

/** @throws Error for a line without a metric, because the text is incomplete */
export function readExposition(text: string): PrintedMetric[] {
  return text
    .split(/^(?=# HELP )/m)
    .filter((block) => block.trim() !== "")
    .map(readBlock);
}

function readBlock(block: string): PrintedMetric {
  const [head = "", kind = "", ...rest] = block.split("\n").filter((line) => line !== "");
  const [, name = "", help = ""] = /^# HELP (\S+) (.*)$/.exec(head) ?? [];
  const [, typed, type = ""] = /^# TYPE (\S+) (\S+)$/.exec(kind) ?? [];
  if (name === "" || typed !== name) throw new Error(`Not a metric: ${block.slice(0, 200)}`);
  for (const line of rest) {
    if (!SAMPLE.test(line) || !line.startsWith(name)) throw new Error(`Not of ${name}: ${line}`);
  }
  const first = rest.find((line) => !line.includes('le="'));
  const labels =
    first === undefined
      ? undefined
      : [...first.matchAll(/([a-z_]+)="/g)].map(([, label = ""]) => label);
  return { name, help, type, labels, samples: rest };
}

const SAMPLE = /^[a-z0-9_]+(\{[a-z_]+="(?:[^"\\]|\\.)*"(,[a-z_]+="(?:[^"\\]|\\.)*")*\})? \S+$/;
