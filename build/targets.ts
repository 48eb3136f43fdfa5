/**
 * Lists the supported machines, and provides the Bun executable for each compiled binary.
 *
 * `Bun.build` would download that executable itself, without a check. This build takes it from npm,
 * where Bun publishes its releases as packages. It verifies a checksum from the lockfile or from
 * the table below.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** A machine, under the name that `--target` takes. */
export interface Target {
  readonly name: string;
  /** Its name in `Bun.build`. */
  readonly bun: Bun.Build.CompileTarget;
  /** The npm package with its Bun. */
  readonly npm: string;
  /**
   * Checksum of that package for the Bun version in package.json. Needed if package-lock.json has
   * none: `bun` does not list its baseline packages as dependencies.
   */
  readonly integrity?: string;
}

export const TARGETS: readonly Target[] = [
  { name: "linux-x64", bun: "bun-linux-x64", npm: "@oven/bun-linux-x64" },
  { name: "linux-arm64", bun: "bun-linux-arm64", npm: "@oven/bun-linux-aarch64" },
  {
    name: "linux-x64-baseline",
    bun: "bun-linux-x64-baseline",
    npm: "@oven/bun-linux-x64-baseline",
    integrity:
      "sha512-s8yMwYcFnnrA178gji0gZbkE2WVDej/Ti1x770oPfihxyRxSMNhGhiAQNXV53aDeraZxksdvKV/RAdQBCd0qPA==",
  },
  { name: "linux-x64-musl", bun: "bun-linux-x64-musl", npm: "@oven/bun-linux-x64-musl" },
  { name: "linux-arm64-musl", bun: "bun-linux-arm64-musl", npm: "@oven/bun-linux-aarch64-musl" },
  {
    name: "linux-x64-musl-baseline",
    bun: "bun-linux-x64-baseline-musl",
    npm: "@oven/bun-linux-x64-musl-baseline",
    integrity:
      "sha512-cWJhU8h0+MiUgpSt99sQhjxLIIosKEcKYdtKddohokUvAuN6jKOy7g7+QDTZTXtwHxz93wL3BX+L6wXVPDUH3A==",
  },
];

/**
 * Path of the Bun executable for a target. Downloads it through npm into `.cache/bun` unless it
 * exists.
 * @throws Error saying why it is not available
 */
export async function bunFor(target: Target, root: string): Promise<string> {
  const installed = join(root, "node_modules", target.npm, "bin/bun");
  if (existsSync(installed)) return installed;
  const folder = join(root, ".cache/bun", `${target.name}-${Bun.version}`);
  const executable = join(folder, "package/bin/bun");
  if (existsSync(executable)) return executable;

  const expected = integrityOf(target, root);
  const incoming = `${folder}.incoming`;
  rmSync(incoming, { recursive: true, force: true });
  mkdirSync(incoming, { recursive: true });
  await run([
    ...["npm", "pack", "--silent", "--pack-destination", incoming],
    `${target.npm}@${Bun.version}`,
  ]);
  const archive = join(incoming, `${target.npm.slice(1).replace("/", "-")}-${Bun.version}.tgz`);
  const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
  if (found !== expected) {
    throw new Error(
      `verify ${target.npm}@${Bun.version}: checksum is ${found}, package-lock.json has ${expected}`,
    );
  }
  await run(["tar", "xzf", archive, "-C", incoming]);
  rmSync(archive);
  rmSync(folder, { recursive: true, force: true });
  renameSync(incoming, folder);
  return executable;
}

function integrityOf(target: Target, root: string): string {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, { version?: string; integrity?: string }>;
  };
  const pinned = lock.packages["node_modules/bun"]?.version;
  if (pinned !== Bun.version) {
    throw new Error(
      `fetch ${target.npm}: this is Bun ${Bun.version}, package-lock.json has ${pinned} (run npm ci)`,
    );
  }
  const integrity = lock.packages[`node_modules/${target.npm}`]?.integrity ?? target.integrity;
  if (integrity === undefined) throw new Error(`fetch ${target.npm}: no checksum is known`);
  return integrity;
}

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdout: "ignore", stderr: "pipe", stdin: "ignore" });
  const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) {
    throw new Error(`${command.join(" ")}: exit status ${status}: ${stderr.trim()}`);
  }
}
