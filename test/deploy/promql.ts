/** What a PromQL expression asks for, by Prometheus's own grammar. */
import { parser } from "@prometheus-io/lezer-promql";

export interface Query {
  /** Names of the metrics, in order. */
  readonly metrics: readonly string[];
  /** Labels that are selected or grouped by. */
  readonly labels: readonly string[];
}

/** @throws Error naming what is no PromQL */
export function parseQuery(expression: string): Query {
  const metrics: string[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter({ type, node, from, to }) {
      const text = expression.slice(from, to);
      if (type.isError) {
        throw new Error(
          `Cannot read "${expression}": it must be PromQL: current value at ${from} is "${text}"`,
        );
      }
      if (type.name === "Identifier" && node.parent?.name === "VectorSelector") metrics.push(text);
      if (type.name === "LabelName") labels.push(text);
    },
  });
  return { metrics, labels };
}
