/** Chooses the iptables variant for this node's rules. */

import type { UnservedFamily } from "../../backend/capabilities.ts";
import { rethrowDefect, SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/known-chains.ts";
import { requireNat } from "./check-access.ts";
import { findTool, type SearchOptions, searchedFolders, toolNames } from "./find-tools.ts";
import { type IptablesTools, Tools } from "./tools.ts";
import { findVariantInUse, VARIANT_TABLE_NAMES } from "./variant-in-use.ts";

export interface ChosenTools {
  readonly variant: Variant;
  /** For the log: `kubelet's chain KUBE-IPTABLES-HINT is in nf_tables`. */
  readonly why: string;
  /** At least one family has tools. */
  readonly tools: { readonly [family in Family]?: IptablesTools };
  readonly missing: readonly UnservedFamily[];
}

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Chooses one variant for both families: the one that other programs on this node use. If only the
 * other variant serves IPv4, chooses that one.
 * @throws SluiceError TOOL_FAILED, if no tool is installed; KERNEL_UNSUPPORTED, if none serves;
 * PERMISSION_DENIED
 */
export async function chooseTools(options: SearchOptions = {}): Promise<ChosenTools> {
  const { variant, why } = await findVariantInUse(options);
  const wanted = await findUsable(variant, options);
  if (wanted.tools[4] !== undefined) return { variant, why, ...wanted };
  const other = variant === "nft" ? "legacy" : "nft";
  const instead = await findUsable(other, options);
  const reason = wanted.missing[0]?.reason ?? "";
  if (instead.tools[4] !== undefined || (instead.tools[6] && !wanted.tools[6])) {
    return {
      variant: other,
      why: `${why}, but that variant does not work: ${reason}`,
      ...instead,
    };
  }
  if (wanted.tools[6] !== undefined) return { variant, why, ...wanted };
  throw noUsableTools(wanted, instead, options);
}

/** The tools of one variant. */
interface VariantState extends Pick<ChosenTools, "tools" | "missing"> {
  /**
   * `absent`: no tool is installed. `broken`: none runs. `usable`: one runs, so a failure comes
   * from the kernel.
   */
  readonly state: "absent" | "broken" | "usable";
}

/** Finds the working tools of a variant, for each family with NAT in the kernel. */
async function findUsable(variant: Variant, options: SearchOptions): Promise<VariantState> {
  const tools: { [family in Family]?: IptablesTools } = {};
  const missing: UnservedFamily[] = [];
  let state: VariantState["state"] = "absent";
  for (const family of FAMILIES) {
    try {
      const found = await findTool(family, variant, options);
      if (found === undefined) {
        const reason = `no ${toolNames(family, variant).join(" or ")} that writes to ${VARIANT_TABLE_NAMES[variant]} is installed`;
        missing.push({ family, code: "TOOL_FAILED", reason });
        continue;
      }
      state = "usable";
      const usable = new Tools(found);
      await requireNat(usable);
      tools[family] = usable;
    } catch (error) {
      rethrowDefect(error);
      if (error.code === "PERMISSION_DENIED") throw error;
      if (state === "absent") state = "broken";
      missing.push({ family, code: error.code, reason: error.message });
    }
  }
  return { tools, missing, state };
}

function noUsableTools(
  wanted: VariantState,
  other: VariantState,
  options: SearchOptions,
): SluiceError {
  if (wanted.state === "absent" && other.state === "absent") {
    const names = FAMILIES.map((family) =>
      [...new Set([...toolNames(family, "nft"), ...toolNames(family, "legacy")])].join(", "),
    ).join(", ");
    const folders = searchedFolders(options).join(", ");
    const message = `find iptables: none of ${names} is in ${folders} together with its -save and -restore (install the package iptables)`;
    return new SluiceError("TOOL_FAILED", message, "iptables");
  }
  const reasons = [...wanted.missing, ...other.missing].map(({ reason }) => reason);
  const runs = wanted.state === "usable" || other.state === "usable";
  const fault = runs
    ? "the kernel has no table nat for IPv4 or IPv6"
    : "no complete tool of iptables runs";
  return new SluiceError(
    runs ? "KERNEL_UNSUPPORTED" : "TOOL_FAILED",
    `find iptables: ${fault}: ${[...new Set(reasons)].join("; ")}`,
  );
}
