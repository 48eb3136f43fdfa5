/** Which tools this node's rules are written by. */

import type { UnservedFamily } from "../../backend/backend.ts";
import { rethrowDefect, SluiceError } from "../../base/errors.ts";
import type { Family } from "../../net/address.ts";
import type { Variant } from "../syntax/types.ts";
import { findTool, type SearchOptions, searchedFolders, toolNames } from "./find-tools.ts";
import { findInUse, PLACES } from "./in-use.ts";
import { requireNat } from "./readable.ts";
import { Tools, type XtTools } from "./tools.ts";

export interface Choice {
  readonly variant: Variant;
  /** For the log: `kubelet's chain KUBE-IPTABLES-HINT is in nf_tables`. */
  readonly why: string;
  /** Of at least one family. */
  readonly tools: { readonly [family in Family]?: XtTools };
  readonly missing: readonly UnservedFamily[];
}

const FAMILIES: readonly Family[] = [4, 6];

/**
 * Both families are written by the same variant: the one in use by others, if it serves IPv4, or the other one does not
 * either.
 * @throws SluiceError TOOL_FAILED, if no tool is installed; KERNEL_UNSUPPORTED, if none serves; PERMISSION_DENIED
 */
export async function chooseTools(options: SearchOptions = {}): Promise<Choice> {
  const { variant, why } = await findInUse(options);
  const wanted = await equip(variant, options);
  if (wanted.tools[4] !== undefined) return { variant, why, ...wanted };
  const other = variant === "nft" ? "legacy" : "nft";
  const instead = await equip(other, options);
  const reason = wanted.missing[0]?.reason ?? "";
  if (instead.tools[4] !== undefined || (instead.tools[6] && !wanted.tools[6])) {
    return {
      variant: other,
      why: `${why}, but ${PLACES[variant]} do not serve: ${reason}`,
      ...instead,
    };
  }
  if (wanted.tools[6] !== undefined) return { variant, why, ...wanted };
  throw nothingServes(wanted, instead, options);
}

interface Equipment extends Pick<Choice, "tools" | "missing"> {
  /** Of its tools: none is installed; none can be run; or it is the kernel that does not do as they say. */
  readonly tooling: "absent" | "broken" | "runs";
}

/** Finds the tools of a variant, and tries whether they and the kernel have NAT. */
async function equip(variant: Variant, options: SearchOptions): Promise<Equipment> {
  const tools: { [family in Family]?: XtTools } = {};
  const missing: UnservedFamily[] = [];
  let tooling: Equipment["tooling"] = "absent";
  for (const family of FAMILIES) {
    try {
      const found = await findTool(family, variant, options);
      if (found === undefined) {
        const reason = `${toolNames(family, variant).join(" or ")} for ${PLACES[variant]} is not installed`;
        missing.push({ family, code: "TOOL_FAILED", reason });
        continue;
      }
      tooling = "runs";
      const usable = new Tools(found);
      await requireNat(usable);
      tools[family] = usable;
    } catch (error) {
      rethrowDefect(error);
      if (error.code === "PERMISSION_DENIED") throw error;
      if (tooling === "absent") tooling = "broken";
      missing.push({ family, code: error.code, reason: error.message });
    }
  }
  return { tools, missing, tooling };
}

function nothingServes(wanted: Equipment, other: Equipment, options: SearchOptions): SluiceError {
  if (wanted.tooling === "absent" && other.tooling === "absent") {
    const names = FAMILIES.map((family) =>
      [...new Set([...toolNames(family, "nft"), ...toolNames(family, "legacy")])].join(", "),
    ).join(", ");
    const rule = `a tool of iptables must be installed (package iptables), with its -save and -restore beside it`;
    const message = `Cannot serve through iptables: ${rule}: none of ${names} is in ${searchedFolders(options).join(", ")}`;
    return new SluiceError("TOOL_FAILED", message, "iptables");
  }
  const reasons = [...wanted.missing, ...other.missing].map(({ reason }) => reason);
  const runs = wanted.tooling === "runs" || other.tooling === "runs";
  const rule = runs
    ? "the table nat must be there for IPv4 or IPv6"
    : "a tool of iptables must be whole, and run";
  return new SluiceError(
    runs ? "KERNEL_UNSUPPORTED" : "TOOL_FAILED",
    `Cannot serve through iptables: ${rule}: ${[...new Set(reasons)].join("; ")}`,
  );
}
