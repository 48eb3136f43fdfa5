/** Creates certificates and keys for a test control plane. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runAsync } from "../commands.ts";

/** Paths of a certificate and its key. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

// Elliptic curves: an RSA key takes up to a second, these take a few milliseconds.
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

/** Creates a certificate authority in `folder`. Nothing else trusts it. */
export async function makeAuthority(folder: string, name = "ca"): Promise<Certificate> {
  const files = filesOf(folder, name);
  await runAsync([
    ...["openssl", "req", "-x509", ...KEY, "-days", "2", "-subj", `/CN=${name}`],
    ...["-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature"],
    ...["-keyout", files.key, "-out", files.certificate],
  ]);
  return files;
}

/**
 * Creates a certificate for servers and clients. `subject` is like `/O=system:masters/CN=admin`.
 */
export async function makeCertificate(
  authority: Certificate,
  folder: string,
  name: string,
  subject: string,
  addresses: readonly string[] = [],
): Promise<Certificate> {
  const files = filesOf(folder, name);
  const request = join(folder, `${name}.csr`);
  const extensions = join(folder, `${name}.ext`);
  const names = addresses.map(
    (address) => `${/^[\d.]+$|:/.test(address) ? "IP" : "DNS"}:${address}`,
  );
  writeFileSync(
    extensions,
    [
      "extendedKeyUsage=clientAuth,serverAuth",
      "keyUsage=digitalSignature,keyEncipherment",
      ...(names.length > 0 ? [`subjectAltName=${names.join(",")}`] : []),
    ].join("\n"),
  );
  await runAsync([
    ...["openssl", "req", ...KEY, "-subj", subject],
    ...["-keyout", files.key, "-out", request],
  ]);
  await runAsync([
    ...["openssl", "x509", "-req", "-in", request, "-days", "2", "-extfile", extensions],
    ...["-CA", authority.certificate, "-CAkey", authority.key],
    // The number is random: certificates are made concurrently, which would need a lock on a
    // counter.
    ...["-set_serial", `0x${crypto.randomUUID().replaceAll("-", "").slice(1)}`],
    ...["-out", files.certificate],
  ]);
  return files;
}

/** Creates the key that signs ServiceAccount tokens: private and public half. */
export async function makeSigningKey(folder: string): Promise<{ private: string; public: string }> {
  const key = join(folder, "serviceaccount.key");
  const publicKey = join(folder, "serviceaccount.pub");
  await runAsync(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]);
  await runAsync(["openssl", "ec", "-in", key, "-pubout", "-out", publicKey]);
  return { private: key, public: publicKey };
}

function filesOf(folder: string, name: string): Certificate {
  return { certificate: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
}
