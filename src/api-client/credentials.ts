/**
 * Reads tokens and PEM files. They are small and other programs rotate them, so transport.ts asks
 * for the identity before each request, which reads them again.
 */
import { readFile } from "node:fs/promises";
import { messageOf, SluiceError } from "../base/errors.ts";

/** Creates the error for an unusable kubeconfig or credential. It never contains a secret. */
export function kubeconfigError(file: string, field: string, rule: string, cause?: unknown) {
  return new SluiceError("KUBECONFIG_INVALID", `Cannot use ${file}: ${field}: ${rule}`, file, {
    cause,
  });
}

/**
 * Reads a token from a file and trims it.
 * @throws SluiceError KUBECONFIG_INVALID if it is unreadable or empty.
 */
export async function readCredential(file: string, field: string): Promise<string> {
  const text = (await readText(file, field)).trim();
  if (text === "") throw kubeconfigError(file, field, "the file is empty");
  if (/[\r\n\0]/.test(text)) throw kubeconfigError(file, field, "must be a single line");
  return text;
}

/** @throws SluiceError KUBECONFIG_INVALID if it is unreadable or not PEM with this label. */
export async function readPem(file: string, field: string, label: string): Promise<string> {
  return checkPem(await readText(file, field), file, field, label);
}

/**
 * Returns the text if it has a PEM block with a label that ends in `label` (there are several kinds
 * of keys).
 */
export function checkPem(text: string, file: string, field: string, label: string): string {
  if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text)) return text;
  throw kubeconfigError(file, field, `must be PEM with a ${label} block`);
}

async function readText(file: string, field: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    throw kubeconfigError(file, field, `cannot be read: ${messageOf(thrown)}`, thrown);
  }
}
