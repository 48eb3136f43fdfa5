/** Reads the metrics and labels of a PromQL expression with Prometheus's own grammar. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Query {
  /** Names of the metrics, in order. */
  readonly metrics: readonly string[];
  /** Labels in selectors and groupings. */
  readonly labels: readonly string[];
}

/** @throws Error that names the first token that is not PromQL */
export function parseQuery(expression: string): Query {
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter({ type, node, from, to }) {
      const text = expression.slice(from, to);
      if (type.isError) {
        throw new Error(`parse "${expression}": invalid PromQL at ${from}: "${text}"`);
      }
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") metrics.push(text);
      if (type.name === "LabelName") labels.push(text);
    },
  });
  return { metrics, labels };
}
