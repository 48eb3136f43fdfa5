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

export const DISPOSITION_TEXTS: {
  readonly [disposition in Exclude<Disposition, "unreadable" | "drop-policy">]: string;
} = {
  ignored: "it is left alone; of two proxies on a node, whichever translates first wins",
  "no-tools": "look into them by hand, for Sluice cannot",
  running: "it runs here; stop it, and Sluice removes its rules",
  "awaiting-exit":
    "it runs here and writes the chains that Sluice is to write; stop it, for Sluice waits for its end",
  overwriting: "it writes the same chains as Sluice; stop it",
  kept: "they stay, as configured; whichever proxy translates first wins",
  waiting: "they are removed once the kube-proxy that runs here has ended",
  pending: "they are removed once Sluice's own are in the kernel",
  failed: "they could not be removed; whichever proxy translates first wins",
  orphaned:
    "they came after Sluice's own, and no kube-proxy is seen; they are removed if they are still there in a minute",
  recreated: "they came after Sluice's own, so a kube-proxy is running; stop it",
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
  const notAlone = (stop: string, effect: string, value: string) =>
    `Cannot be the only proxy: ${stop}; ${effect}: current value is ${value}`;
  const both = "both translate, and whichever comes first wins";
  switch (disposition) {
    case "failed":
      return `Cannot remove ${what} in ${where}: ${failures.join("; ")}`;
    case "running":
      return notAlone("kube-proxy must be stopped, whose rules are then removed", both, what);
    case "recreated":
      return notAlone(
        `kube-proxy must be stopped, and Sluice restarted, which then removes ${what}`,
        both,
        where,
      );
    case "awaiting-exit":
      return `Cannot begin: kube-proxy must be stopped, which writes the same chains; its rules serve until then: current value is ${what}`;
    case "overwriting":
      return notAlone("kube-proxy must be stopped", "both write the same chains", what);
    default:
      return undefined;
  }
}
