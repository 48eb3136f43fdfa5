/** Lists the machines that an image can target, and finds the libraries for each. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** A machine by its names: ours (build/targets.ts), the image's, and Debian's. */
export interface Machine {
  readonly target: string;
  readonly architecture: string;
  readonly triplet: string;
}

/**
 * Only glibc targets. Bun for musl needs a libstdc++ and a libgcc built for musl, which Debian
 * lacks. The 3 MB of glibc cost too little to justify it.
 */
export const MACHINES: readonly Machine[] = [
  { target: "linux-x64", architecture: "amd64", triplet: "x86_64-linux-gnu" },
  { target: "linux-x64-baseline", architecture: "amd64", triplet: "x86_64-linux-gnu" },
  { target: "linux-arm64", architecture: "arm64", triplet: "aarch64-linux-gnu" },
];

/** The Debian packages with the files of contents.ts. */
export const PACKAGES = [
  ...["iptables", "libc6", "libip4tc2", "libip6tc2", "libmnl0", "libnetfilter-conntrack3"],
  ...["libnfnetlink0", "libnftnl11", "libxtables12"],
];

export function ownArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

/**
 * Returns "/" for this kind of machine. For another kind, returns a folder below `cache` with
 * Debian's packages for it. apt downloads and verifies them with separate state, so this machine's
 * package database does not change.
 * @throws Error when apt is not installed, or lacks such packages
 */
export async function libraryRoot(machine: Machine, cache: string): Promise<string> {
  if (machine.architecture === ownArchitecture()) return "/";
  const root = join(cache, machine.architecture);
  if (existsSync(root)) return root;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "fetch-"));
  try {
    for (const folder of ["state/lists/partial", "cache/archives/partial", "debs", "root"]) {
      mkdirSync(join(work, folder), { recursive: true });
    }
    const options = [
      `APT::Architecture=${machine.architecture}`,
      `APT::Architectures::=${machine.architecture}`,
      `Dir::State=${work}/state`,
      `Dir::State::status=/dev/null`,
      `Dir::Cache=${work}/cache`,
      // By default apt drops root for the download, and could not write here.
      "APT::Sandbox::User=root",
    ].flatMap((option) => ["-o", option]);
    await run(["apt-get", "-qq", ...options, "update"], work);
    await run(["apt-get", "-qq", ...options, "download", ...PACKAGES], join(work, "debs"));
    for (const name of readdirSync(join(work, "debs"))) {
      await run(["dpkg-deb", "-x", join("debs", name), "root"], work);
    }
    renameSync(join(work, "root"), root);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return root;
}

async function run(command: string[], cwd: string): Promise<void> {
  const child = Bun.spawn(command, { cwd, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const [stderr, status] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  if (status !== 0) {
    throw new Error(`${command.join(" ")}: exit status ${status}: ${stderr.trim()}`);
  }
}
