/** Decides what happens to a finding, and defines the texts and problems that report it. Pure. */
import type { Problem } from "../problems/problem.ts";
import type { Finding } from "./find-rules.ts";

export type Disposition =
  | "ignored"
  | "no-tools"
  | "unreadable"
  | "drop-policy"
  | "running"
  | "awaiting-exit"
  | "overwriting"
  | "kept"
  | "waiting"
  | "pending"
  | "failed"
  | "orphaned"
  | "recreated";

const BOTH = "if two proxies translate a connection, the first one wins";

export const DISPOSITION_TEXTS: {
  readonly [disposition in Exclude<Disposition, "unreadable" | "drop-policy">]: string;
} = {
  ignored: `Sluice leaves it alone; ${BOTH}`,
  "no-tools": "Sluice cannot read them; check them by hand",
  running: "it is running on this node; stop it, and Sluice removes its rules",
  "awaiting-exit":
    "it is running on this node and writes the same chains; Sluice waits until you stop it",
  overwriting: "it is running on this node and writes the same chains; stop it",
  kept: `Sluice keeps them, because removeKubeProxyRules is false; ${BOTH}`,
  waiting: "Sluice removes them after the running kube-proxy exits",
  pending: "Sluice removes them after its first sync",
  failed: `Sluice could not remove them; ${BOTH}`,
  orphaned:
    "they appeared after Sluice's rules, but no kube-proxy is visible; Sluice removes them in a minute if they remain",
  recreated: "they appeared after Sluice's rules, so a kube-proxy is running; stop it",
};

/** The problem for a finding, if it is one. `text` reports it. */
export function findingProblem(
  { kind, what, parts }: Finding,
  disposition: Disposition,
  { text, failures }: { readonly text: string; readonly failures: readonly string[] },
): Problem | undefined {
  if (disposition === "unreadable") {
    return { subject: what, code: "OTHER_PROXY", field: "", message: text };
  }
  const message = problemMessage(what, parts.join(", "), disposition, failures);
  if (message === undefined) return undefined;
  return { subject: "kube-proxy", code: "OTHER_PROXY", field: kind, message };
}

function problemMessage(
  what: string,
  where: string,
  disposition: Disposition,
  failures: readonly string[],
): string | undefined {
  switch (disposition) {
    case "failed":
      return `remove ${what} in ${where}: ${failures.join("; ")}`;
    case "running":
      return `${what} is running on this node: ${BOTH} (stop it; Sluice then removes its rules)`;
    case "recreated":
      return `${what} in ${where} appeared after Sluice's, so a kube-proxy is running: ${BOTH} (stop it, then restart Sluice, which removes the rules)`;
    case "awaiting-exit":
      return `${what} writes the same chains: Sluice waits until it exits, and its rules serve until then (stop it)`;
    case "overwriting":
      return `${what} writes the same chains: it and Sluice undo each other's changes (stop it)`;
    default:
      return undefined;
  }
}
