/**
 * Creates a folder of tools that are scripts: other versions than the machine's, broken tools, and
 * tools of a limited kernel.
 */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Variant } from "../../../src/iptables/syntax/known-chains.ts";
import { findTool } from "../../../src/iptables/tools/find-tools.ts";
import { Tools } from "../../../src/iptables/tools/tools.ts";
import type { Family } from "../../../src/net/address.ts";

export class FakeTools implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "iptables-tools-"));
  readonly options = { folders: [this.folder] };

  /** One tool, as a shell script without its first line. */
  script(name: string, body: string): this {
    const path = join(this.folder, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return this;
  }

  /** A complete set. Each tool runs `body`, except when asked for its version. */
  set(name: string, version: string, body = "exit 0"): this {
    for (const suffix of ["", "-save", "-restore"]) {
      this.script(
        `${name}${suffix}`,
        `[ "$1" = --version ] && echo '${version}' && exit 0\n${body}`,
      );
    }
    return this;
  }

  /**
   * The machine's tools under another name. iptables-restore fails for input that matches `refuse`,
   * as without a module.
   */
  real(name: string, of: string, refuse?: string): this {
    this.script(name, `exec ${of} "$@"`).script(`${name}-save`, `exec ${of}-save "$@"`);
    const check =
      refuse === undefined
        ? ""
        : `if grep -qe '${refuse}' "$0.input"; then echo "$(basename "$0"): no module for ${refuse}" >&2; exit 1; fi\n`;
    return this.script(
      `${name}-restore`,
      `cat >"$0.input"\n${check}exec ${of}-restore "$@" <"$0.input"`,
    );
  }

  async tools(family: Family, variant: Variant): Promise<Tools> {
    return toolsOf(family, variant, this.options);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** The machine's tools, by default. */
export async function toolsOf(
  family: Family,
  variant: Variant,
  options: { readonly folders?: readonly string[] } = {},
): Promise<Tools> {
  const found = await findTool(family, variant, options);
  if (found === undefined)
    throw new Error(`iptables (${variant}) is not installed for IPv${family}`);
  return new Tools(found);
}

/**
 * Tools that run meanwhile find the xtables lock held. The lock is this test's own, in `folder`.
 */
export function holdLock(folder: string): Disposable {
  const file = join(folder, "xtables.lock");
  const before = process.env["XTABLES_LOCKFILE"];
  writeFileSync(file, "");
  process.env["XTABLES_LOCKFILE"] = file;
  const holder = Bun.spawn(["flock", file, "sh", "-c", "echo; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  // Synchronous, like the rest of the test's setup: returns when it holds the lock.
  while (Bun.spawnSync(["flock", "-n", file, "true"]).exitCode === 0);
  return {
    [Symbol.dispose]() {
      holder.kill("SIGKILL");
      if (before === undefined) delete process.env["XTABLES_LOCKFILE"];
      else process.env["XTABLES_LOCKFILE"] = before;
    },
  };
}
