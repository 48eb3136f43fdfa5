/** Decides what happens to a finding, and defines the texts and problems that report it. Pure. */
import type { Problem } from "../problems/problem.ts";
import type { Finding } from "./find-rules.ts";

export type Disposition =
  | "told"
  | "blind"
  | "unreadable"
  | "drops"
  | "runs"
  | "awaited"
  | "overwrites"
  | "stays"
  | "waits"
  | "goes"
  | "failed"
  | "orphaned"
  | "alive";

export const DISPOSITION_TEXTS: {
  readonly [disposition in Exclude<Disposition, "unreadable" | "drops">]: string;
} = {
  told: "it is left alone; of two proxies on a node, whichever translates first wins",
  blind: "look into them by hand, for Sluice cannot",
  runs: "it runs here; stop it, and Sluice removes its rules",
  awaited:
    "it runs here and writes the chains that Sluice is to write; stop it, for Sluice waits for its end",
  overwrites: "it writes the same chains as Sluice; stop it",
  stays: "they stay, as configured; whichever proxy translates first wins",
  waits: "they are removed once the kube-proxy that runs here has ended",
  goes: "they are removed once Sluice's own are in the kernel",
  failed: "they could not be removed; whichever proxy translates first wins",
  orphaned:
    "they came after Sluice's own, and no kube-proxy is seen; they are removed if they are still there in a minute",
  alive: "they came after Sluice's own, so a kube-proxy is running; stop it",
};

/** The problem for a finding, if it is one. `text` reports it. */
export function problemOf(
  { kind, what, parts }: Finding,
  disposition: Disposition,
  { text, failures }: { readonly text: string; readonly failures: readonly string[] },
): Problem | undefined {
  if (disposition === "unreadable") {
    return { subject: what, code: "OTHER_PROXY", field: "", message: text };
  }
  const message = messageOf(what, parts.join(", "), disposition, failures);
  if (message === undefined) return undefined;
  return { subject: "kube-proxy", code: "OTHER_PROXY", field: kind, message };
}

function messageOf(
  what: string,
  where: string,
  disposition: Disposition,
  failures: readonly string[],
): string | undefined {
  const alone = (stop: string, effect: string, value: string) =>
    `Cannot be the only proxy: ${stop}; ${effect}: current value is ${value}`;
  const both = "both translate, and whichever comes first wins";
  switch (disposition) {
    case "failed":
      return `Cannot remove ${what} in ${where}: ${failures.join("; ")}`;
    case "runs":
      return alone("kube-proxy must be stopped, whose rules are then removed", both, what);
    case "alive":
      return alone(
        `kube-proxy must be stopped, and Sluice restarted, which then removes ${what}`,
        both,
        where,
      );
    case "awaited":
      return `Cannot begin: kube-proxy must be stopped, which writes the same chains; its rules serve until then: current value is ${what}`;
    case "overwrites":
      return alone("kube-proxy must be stopped", "both write the same chains", what);
    default:
      return undefined;
  }
}
