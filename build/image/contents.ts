/**
 * Selects the files of an image. There are two layers. The second has only the program, so that an
 * update is one layer.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { closure } from "./elf.ts";
import { PACKAGES } from "./machines.ts";
import type { Entry } from "./tar.ts";

/**
 * Path of the program in the image. kube-proxy's own path, which manifests name as the command,
 * links to it.
 */
export const PROGRAM = "usr/local/bin/sluice";
const UPSTREAM_PROGRAM = "usr/local/bin/kube-proxy";

/** Debian's merged /usr: files below these are below usr/. */
const MERGED = ["bin", "lib", "lib64", "sbin"];

/** Both variants of iptables, through the links that select what they do. */
const IPTABLES = ["legacy", "nft"].flatMap((kind) =>
  ["iptables", "ip6tables"].flatMap((family) =>
    ["", "-save", "-restore"].map((action) => ({
      name: `${family}-${kind}${action}`,
      plain: kind === "nft" ? `${family}${action}` : undefined,
      program: `xtables-${kind}-multi`,
    })),
  ),
);

/** The sources of the files. */
export interface Sources {
  /** Path of the program. */
  readonly binary: string;
  /** Folder with usr/lib and so on for the image's machine. */
  readonly root: string;
  readonly triplet: string;
  /**
   * Include iptables: for iptables mode, and to remove kube-proxy's rules from kernel tables that
   * only iptables can read.
   */
  readonly iptables: boolean;
}

/**
 * The layers, from the least to the most frequently changed.
 * @throws Error naming a file that does not exist
 */
export function layersOf(sources: Sources): Entry[][] {
  const { binary, root, triplet, iptables } = sources;
  const base: Entry[] = [
    {
      kind: "file",
      path: "etc/passwd",
      // root's home is /, so that no further directory has to exist.
      bytes: new TextEncoder().encode("root:x:0:0:root:/:/sbin/nologin\n"),
    },
  ];
  const programs = [binary];
  const modules = `usr/lib/${triplet}/xtables`;
  if (iptables) {
    for (const kind of ["legacy", "nft"]) {
      const path = `usr/sbin/xtables-${kind}-multi`;
      programs.push(join(root, path));
      base.push(fileAt(path, join(root, path), true));
    }
    for (const { name, plain, program } of IPTABLES) {
      base.push({ kind: "link", path: `usr/sbin/${name}`, to: program });
      if (plain) base.push({ kind: "link", path: `usr/sbin/${plain}`, to: program });
    }
    // Exclude the extensions of arptables and ebtables.
    for (const name of readdirSync(join(root, modules)).filter((n) => /^lib(ip6?t|xt)_/.test(n))) {
      programs.push(join(root, modules, name));
      base.push(fileAt(`${modules}/${name}`, join(root, modules, name)));
    }
  }
  const libraries = closure(programs, root, triplet);
  for (const [path, from] of libraries)
    base.push(fileAt(path, from, basename(path).startsWith("ld-")));
  // The libraries' licenses require it.
  for (const name of iptables ? PACKAGES : ["libc6"]) {
    const path = `usr/share/doc/${name}/copyright`;
    if (existsSync(join(root, path))) base.push(fileAt(path, join(root, path)));
  }
  const folders = new Set(base.map(({ path }) => path.split("/")[1]));
  for (const name of MERGED.filter((name) => folders.has(name))) {
    base.push({ kind: "link", path: name, to: `usr/${name}` });
  }
  const own: Entry[] = [
    fileAt(PROGRAM, binary, true),
    { kind: "link", path: UPSTREAM_PROGRAM, to: basename(PROGRAM) },
  ];
  return [base, own];
}

function fileAt(path: string, from: string, executable = false): Entry {
  return { kind: "file", path, bytes: readFileSync(from), executable };
}
