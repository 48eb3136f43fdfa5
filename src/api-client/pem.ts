/** Reads PEM texts as Go does, so that an unusable one is named here and not by a TLS failure. */
import { createPrivateKey, X509Certificate } from "node:crypto";

/** The usable blocks, or the violated rule. */
export type PemResult = { readonly blocks: readonly string[] } | { readonly fault: string };

/** Certificate and key of one identity. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** One block. Its markers are at the start of a line. */
const BLOCK =
  /(?<=^|\n)-----BEGIN ([^\n]*?)-----[ \t]*\r?\n(?:[^\n]*\n)*?-----END \1-----[ \t]*\r?(?=\n|$)/g;

/** Returns the certificates that can be parsed. At least one must be. */
export function readCertificates(text: string): PemResult {
  const blocks = blocksOf(text).filter(({ label }) => label === "CERTIFICATE");
  if (blocks.length === 0) return { fault: missing(text, "CERTIFICATE") };
  const usable = blocks.filter(({ pem }) => certificateOf(pem) !== undefined);
  if (usable.length === 0) return { fault: "invalid PEM: malformed certificate" };
  return { blocks: usable.map(({ pem }) => pem) };
}

/**
 * Returns the certificates and the first private key of two texts.
 * @param mismatch the violated rule if both are usable, but do not belong together
 */
export function readKeyPair(
  cert: string,
  key: string,
): { readonly pair: KeyPair } | { readonly of: "cert" | "key" | "pair"; readonly fault: string } {
  const certificates = blocksOf(cert).filter(({ label }) => label === "CERTIFICATE");
  const [leaf] = certificates;
  if (leaf === undefined) return { of: "cert", fault: missing(cert, "CERTIFICATE") };
  const parsed = certificateOf(leaf.pem);
  if (parsed === undefined) return { of: "cert", fault: "invalid PEM: malformed certificate" };
  const found = blocksOf(key).find(({ label }) => label.endsWith("PRIVATE KEY"));
  if (found === undefined) return { of: "key", fault: missing(key, "PRIVATE KEY") };
  try {
    if (!parsed.checkPrivateKey(createPrivateKey(found.pem))) {
      return { of: "pair", fault: "the private key does not belong to the certificate" };
    }
  } catch (thrown) {
    const encrypted = thrown instanceof TypeError;
    return {
      of: "key",
      fault: `invalid PEM: ${encrypted ? "encrypted" : "malformed"} private key`,
    };
  }
  return { pair: { cert: certificates.map(({ pem }) => pem).join(""), key: found.pem } };
}

interface Block {
  readonly label: string;
  /** Ends in a newline. */
  readonly pem: string;
}

function blocksOf(text: string): Block[] {
  return [...text.matchAll(BLOCK)].map(([pem, label = ""]) => ({
    label,
    pem: `${pem.replaceAll("\r", "")}\n`,
  }));
}

function certificateOf(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

/** Explains why a text has no block with this label. */
function missing(text: string, label: string): string {
  const rule = `invalid PEM: must contain a ${label} block`;
  if (text.startsWith("\ufeff")) return `${rule} (the text starts with a byte order mark)`;
  const other = blocksOf(text)[0]?.label;
  if (other !== undefined) return `${rule} (it contains a ${other} block)`;
  return new RegExp(`-----BEGIN [^\n]*${label}-----`).test(text)
    ? `${rule} (each marker must be alone on a line, without indentation)`
    : rule;
}
