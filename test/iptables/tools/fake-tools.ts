/** A folder of tools that are scripts: other versions than the machine's, broken ones, and those of a lesser kernel. */
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

  /** One of them, as a script of sh without its first line. */
  script(name: string, body: string): this {
    const path = join(this.folder, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
    return this;
  }

  /** A whole set, of which each does `body` when it is not asked for its version. */
  set(name: string, version: string, body = "exit 0"): this {
    for (const suffix of ["", "-save", "-restore"]) {
      this.script(
        `${name}${suffix}`,
        `[ "$1" = --version ] && echo '${version}' && exit 0\n${body}`,
      );
    }
    return this;
  }

  /** The machine's own under another name; `refuse` is a pattern of input for which its restore fails as without a module. */
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

/** Those of this machine, unless told otherwise. */
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

/** Tools that are run meanwhile find the xtables lock held: one of this test's own, in `folder`. */
export function holdLock(folder: string): Disposable {
  const file = join(folder, "xtables.lock");
  const before = process.env["XTABLES_LOCKFILE"];
  writeFileSync(file, "");
  process.env["XTABLES_LOCKFILE"] = file;
  const holder = Bun.spawn(["flock", file, "sh", "-c", "echo; exec cat"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  // Synchronously, as a test sets up everything else: until it holds the lock.
  while (Bun.spawnSync(["flock", "-n", file, "true"]).exitCode === 0);
  return {
    [Symbol.dispose]() {
      holder.kill("SIGKILL");
      if (before === undefined) delete process.env["XTABLES_LOCKFILE"];
      else process.env["XTABLES_LOCKFILE"] = before;
    },
  };
}
