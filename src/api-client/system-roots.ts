/**
 * Finds the certificate authorities that the system trusts, where Go's crypto/x509 finds them. The
 * runtime would use its own list.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describeCause, SluiceError } from "../base/errors.ts";
import { readCertificates } from "./pem.ts";
import type { Environment } from "./proxy-url.ts";

/** The first of them that can be read is used. */
const FILES = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Gentoo
  "/etc/pki/tls/certs/ca-bundle.crt", // Fedora, RHEL 6
  "/etc/ssl/ca-bundle.pem", // openSUSE
  "/etc/pki/tls/cacert.pem", // OpenELEC
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
  "/etc/ssl/cert.pem", // Alpine
];
/** All of them are used, in addition to the file. */
const DIRECTORIES = ["/etc/ssl/certs", "/etc/pki/tls/certs"];

/** By the variables of the environment that name other places. */
const loaded = new Map<string, string | undefined>();

/**
 * Returns the authorities in PEM. Like Go, reads them once for each process. Undefined if the
 * system has none in these places: the runtime's list counts then.
 * @param root a folder that stands for `/`
 * @throws SluiceError KUBECONFIG_INVALID if there are files, but none is usable
 */
export function systemRoots(environment: Environment, root = "/"): string | undefined {
  const file = environment["SSL_CERT_FILE"] || undefined;
  const directories = environment["SSL_CERT_DIR"] || undefined;
  const key = JSON.stringify([root, file, directories]);
  if (!loaded.has(key)) {
    const places = {
      files: file === undefined ? FILES : [file],
      directories: directories?.split(":") ?? DIRECTORIES,
    };
    const required = [file && "SSL_CERT_FILE", directories && "SSL_CERT_DIR"].filter(
      (name) => name,
    );
    loaded.set(
      key,
      load(places, required.join(", "), (path) => join(root, path)),
    );
  }
  return loaded.get(key);
}

interface Places {
  readonly files: readonly string[];
  readonly directories: readonly string[];
}

/** @param required names the variables that must lead to an authority; "" for none */
function load(
  { files, directories }: Places,
  required: string,
  at: (path: string) => string,
): string | undefined {
  const found = new Set<string>();
  const missing: string[] = [];
  const unusable: string[] = [];
  const add = (path: string): boolean => {
    try {
      const result = readCertificates(readFileSync(at(path), "utf8"));
      if ("blocks" in result) for (const pem of result.blocks) found.add(pem);
      else unusable.push(`${path}: ${result.fault}`);
      return true;
    } catch (thrown) {
      missing.push(`${path}: ${describeCause(thrown)}`);
      return false;
    }
  };
  files.find(add);
  for (const directory of directories) {
    for (const name of namesIn(at(directory))) add(`${directory}/${name}`);
  }
  if (found.size > 0) return [...found].join("");
  if (unusable.length === 0 && required === "") return undefined;
  const [fault = `no certificate in ${directories.join(":")}`] = [...unusable, ...missing];
  const where = required === "" ? "" : ` (${required})`;
  const message = `read certificate authorities of the system${where}: ${fault}`;
  throw new SluiceError("KUBECONFIG_INVALID", message, files[0]);
}

/** Leaves out links to other files in the same directory. Empty if it cannot be read. */
function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
      const isDouble =
        entry.isSymbolicLink() && !readlinkSync(join(directory, entry.name)).includes("/");
      return isDouble || entry.isDirectory() ? [] : [entry.name];
    });
  } catch {
    return [];
  }
}
