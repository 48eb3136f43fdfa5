/** Chains that are not ours to delete. */
import type { Logger } from "../base/log.ts";
import type { FamilyRules } from "./family.ts";

/** Says of each once that it stays. */
export function sayKept(family: FamilyRules, log: Logger | undefined): void {
  for (const { table, chain } of family.kernel.kept(family.wanted)) {
    if (!log?.once(`iptables kept ${family.family} ${table} ${chain}`)) continue;
    log.warn("A chain of kube-proxy's stays, without rules: a rule of somebody else leads to it", {
      tool: family.tools.path,
      table,
      chain,
    });
  }
}
