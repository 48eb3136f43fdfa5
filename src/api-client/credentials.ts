/**
 * Reads tokens and PEM files. They are small and other programs rotate them, so transport.ts asks
 * for the identity before each request, which reads them again.
 */
import { readFile } from "node:fs/promises";
import { describeCause, SluiceError } from "../base/errors.ts";

/** Creates the error for an unusable field of a kubeconfig. It never contains a secret. */
export function kubeconfigError(file: string, field: string, rule: string, cause?: unknown) {
  return new SluiceError("KUBECONFIG_INVALID", `${file}: ${field}: ${rule}`, file, { cause });
}

/**
 * Creates the error for a file that cannot be read or parsed. `use` says which field names the
 * file; "" for the kubeconfig itself.
 */
export function fileError(verb: "read" | "parse", file: string, use: string, thrown: unknown) {
  // The parser of YAML adds the lines at fault after the first line.
  const cause = describeCause(thrown).replace(/:?\n.*$/s, "");
  const message = `${verb} ${useOf(file, use)}: ${cause}`;
  return new SluiceError("KUBECONFIG_INVALID", message, file, { cause: thrown });
}

function contentError(file: string, use: string, fault: string): SluiceError {
  return new SluiceError("KUBECONFIG_INVALID", `${useOf(file, use)}: ${fault}`, file);
}

function useOf(file: string, use: string): string {
  return use === "" ? `kubeconfig ${file}` : `${file} (${use})`;
}

/**
 * Reads a token from a file and trims it.
 * @throws SluiceError KUBECONFIG_INVALID if it is unreadable or empty.
 */
export async function readCredential(file: string, use: string): Promise<string> {
  const text = (await readFileText(file, use)).trim();
  if (text === "") throw contentError(file, use, "the file is empty");
  if (/[\r\n\0]/.test(text)) throw contentError(file, use, "the file has more than one line");
  return text;
}

/** @throws SluiceError KUBECONFIG_INVALID if it is unreadable or not PEM with this label. */
export async function readPem(file: string, use: string, label: string): Promise<string> {
  const text = await readFileText(file, use);
  const fault = checkPem(text, label);
  if (fault !== undefined) throw contentError(file, use, fault);
  return text;
}

/**
 * Returns the violated rule; undefined if the text has a PEM block with a label that ends in
 * `label` (there are several kinds of keys).
 */
export function checkPem(text: string, label: string): string | undefined {
  if (new RegExp(`-----BEGIN [A-Z ]*${label}-----`).test(text)) return undefined;
  return `invalid PEM: must contain a ${label} block`;
}

async function readFileText(file: string, use: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    throw fileError("read", file, use, thrown);
  }
}
