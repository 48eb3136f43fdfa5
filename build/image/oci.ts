/**
 * Builds an image as one archive that all tools accept: an OCI layout (image-spec image-layout.md),
 * plus the manifest.json of `docker save`, which names the same blobs.
 */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { type Entry, tar } from "./tar.ts";

/** The contents of an image. */
export interface ImageContents {
  /** Name and tag after the import. */
  readonly name: string;
  /** The architecture in image-spec config.md's terms: amd64, arm64. */
  readonly architecture: string;
  /** Seconds since the epoch, for every file and for the image. */
  readonly created: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly path: string;
  /** From the least to the most frequently changed layer. */
  readonly layers: readonly (readonly Entry[])[];
}

export interface Image {
  readonly archive: Uint8Array;
  /** `sha256:…` of its manifest, as in `image@DIGEST`. */
  readonly digest: string;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

const TYPE = "application/vnd.oci.image";

/** Builds the archive. Equal contents give equal bytes. */
export async function image(contents: ImageContents): Promise<Image> {
  const { name, architecture, created, labels, entrypoint, path } = contents;
  const blobs = new Map<string, Uint8Array>();
  const add = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = sha256(bytes);
    blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  };

  const plain = await Promise.all(contents.layers.map((entries) => tar(entries, created)));
  const layers = plain.map((bytes) =>
    add(`${TYPE}.layer.v1.tar+gzip`, gzipSync(bytes, { level: 6 })),
  );
  const date = new Date(created * 1000).toISOString().replace(".000", "");
  const config = add(
    `${TYPE}.config.v1+json`,
    json({
      created: date,
      architecture,
      os: "linux",
      config: { Env: [`PATH=${path}`], Entrypoint: entrypoint, WorkingDir: "/", Labels: labels },
      rootfs: { type: "layers", diff_ids: plain.map(sha256) },
      history: plain.map(() => ({ created: date, created_by: "sluice: npm run image" })),
    }),
  );
  const manifest = add(
    `${TYPE}.manifest.v1+json`,
    json({
      schemaVersion: 2,
      mediaType: `${TYPE}.manifest.v1+json`,
      config,
      layers,
      annotations: labels,
    }),
  );
  const index = {
    schemaVersion: 2,
    mediaType: `${TYPE}.index.v1+json`,
    manifests: [
      {
        ...manifest,
        platform: { architecture, os: "linux" },
        annotations: {
          // containerd reads the first, podman and skopeo the second.
          "io.containerd.image.name": name,
          "org.opencontainers.image.ref.name": name,
        },
      },
    ],
  };
  const docker = [
    { Config: file(config.digest), RepoTags: [name], Layers: layers.map((l) => file(l.digest)) },
  ];
  const entries: Entry[] = [
    { kind: "file", path: "oci-layout", bytes: json({ imageLayoutVersion: "1.0.0" }) },
    { kind: "file", path: "index.json", bytes: json(index) },
    { kind: "file", path: "manifest.json", bytes: json(docker) },
  ];
  for (const [digest, bytes] of blobs) entries.push({ kind: "file", path: file(digest), bytes });
  return { archive: await tar(entries, created), digest: manifest.digest };
}

function file(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}
