/** Builds the container image without a container engine; see USAGE. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { buildBinary, version } from "../build.ts";
import manifest from "../package.json" with { type: "json" };
import { compileCore } from "./compile-core.ts";
import { layersOf, PROGRAM } from "./image/contents.ts";
import { libraryRoot, MACHINES, type Machine, ownArchitecture } from "./image/machines.ts";
import { type Image, image } from "./image/oci.ts";
import { TARGETS } from "./targets.ts";

const USAGE = `usage: npm run image -- [--target NAME] [--name NAME] [--no-iptables] [--out FILE] [--help]

  --target NAME   another machine: ${MACHINES.map(({ target }) => target).join(", ")}.
                  Without it: this machine, with dist/sluice
  --name NAME     name of the image, REPOSITORY:TAG (localhost/sluice:${manifest.version})
  --no-iptables   leave out iptables. The image then has no iptables mode, and cannot find and remove
                  kube-proxy's rules in the legacy tables
  --out FILE      path of the archive (dist/sluice-image-linux-ARCHITECTURE.tar)
  --help          print this

The archive is both an OCI layout and a docker archive. ctr images import, podman load, skopeo copy
and docker load accept it. The same files give the same digest. Times are SOURCE_DATE_EPOCH, or 0.`;

const root = join(import.meta.dir, "..");

/** The image's name without --name. It cannot refer to a registry. */
export const DEFAULT_NAME = `localhost/sluice:${manifest.version}`;

export interface ImageOptions {
  readonly machine: Machine;
  readonly binary: string;
  readonly name: string;
  readonly iptables: boolean;
  /** Seconds since the epoch. */
  readonly created: number;
}

/**
 * Builds the image.
 * @throws Error naming a library or package that is not available
 */
export async function makeImage(options: ImageOptions): Promise<Image> {
  const { machine, binary, name, iptables, created } = options;
  const libraries = await libraryRoot(machine, join(root, ".cache/image"));
  return image({
    name,
    architecture: machine.architecture,
    created,
    labels: {
      "org.opencontainers.image.title": "sluice",
      "org.opencontainers.image.description": manifest.description,
      "org.opencontainers.image.version": version(),
      "org.opencontainers.image.licenses": iptables
        ? "Apache-2.0 AND LGPL-2.1-or-later AND GPL-2.0-or-later"
        : "Apache-2.0 AND LGPL-2.1-or-later",
    },
    entrypoint: [`/${PROGRAM}`],
    path: "/usr/local/bin:/usr/sbin",
    layers: layersOf({ binary, root: libraries, triplet: machine.triplet, iptables }),
  });
}

/**
 * The named machine, or this one.
 * @throws Error if there can be no image for it
 */
export function machineFor(target: string | undefined): Machine {
  const machine = MACHINES.find((candidate) =>
    target === undefined
      ? candidate.architecture === ownArchitecture()
      : candidate.target === target,
  );
  if (machine !== undefined) return machine;
  const known = MACHINES.map((candidate) => candidate.target).join(", ");
  throw new Error(`--target: invalid value "${target ?? process.arch}": must be one of ${known}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: "boolean", short: "h", default: false },
      name: { type: "string", default: DEFAULT_NAME },
      "no-iptables": { type: "boolean", default: false },
      out: { type: "string" },
      target: { type: "string" },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const machine = machineFor(values.target);
  const binary = join(root, values.target ? `dist/sluice-${values.target}` : "dist/sluice");
  const target = TARGETS.find(({ name }) => name === values.target);
  if (target !== undefined) {
    await compileCore("release");
    await buildBinary({ outfile: binary, target });
  } else if (!existsSync(binary)) {
    throw new Error(`read ${binary}: no such file (run npm run build)`);
  }
  const { archive, digest } = await makeImage({
    machine,
    binary,
    name: values.name,
    iptables: !values["no-iptables"],
    created: Number(process.env["SOURCE_DATE_EPOCH"] ?? 0),
  });
  const out = values.out ?? join(root, `dist/sluice-image-linux-${machine.architecture}.tar`);
  mkdirSync(join(out, ".."), { recursive: true });
  writeFileSync(out, archive);
  console.log(`${relative("", out)}  ${(archive.length / 1e6).toFixed(1)} MB`);
  console.log(`${values.name}@${digest}`);
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exitCode = 1;
  }
}
