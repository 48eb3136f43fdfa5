/**
 * Reads tokens and PEM texts. Files are small and other programs rotate them, so transport.ts asks
 * for the identity before each request, which reads them again.
 */
import { readFile } from "node:fs/promises";
import { describeCause, SluiceError } from "../base/errors.ts";
import { type KeyPair, readCertificates, readKeyPair } from "./pem.ts";

/** Creates the error for an unusable field of a kubeconfig. It never contains a secret. */
export function kubeconfigError(file: string, field: string, rule: string, cause?: unknown) {
  return new SluiceError("KUBECONFIG_INVALID", `${file}: ${field}: ${rule}`, file, { cause });
}

/** Creates the error for a file that cannot be read. `name` also says what it is for. */
export function unreadable(name: string, file: string, thrown: unknown) {
  const message = `read ${name}: ${describeCause(thrown)}`;
  return new SluiceError("KUBECONFIG_INVALID", message, file, { cause: thrown });
}

/** A text from a file, or from a field of the kubeconfig. */
export interface TextSource {
  /** Names the source in messages. */
  readonly name: string;
  /** The file that contains the text. */
  readonly file: string;
  /** @throws SluiceError KUBECONFIG_INVALID if a file is unreadable */
  read(): Promise<string>;
}

/** @param use says which field names the file. */
export function fileSource(file: string, use: string): TextSource {
  const name = `${file} (${use})`;
  const read = async () => {
    try {
      return await readFile(file, "utf8");
    } catch (thrown) {
      throw unreadable(name, file, thrown);
    }
  };
  return { name, file, read };
}

/** Returns a function that reads certificates, as far as they can be parsed. */
export function certificateReader(source: TextSource): () => Promise<string> {
  const check = lastResult((text) => {
    const result = readCertificates(text);
    return "blocks" in result ? { pem: result.blocks.join("") } : result;
  });
  return async () => {
    const result = check(await source.read());
    if ("pem" in result) return result.pem;
    throw contentError(source, result.fault);
  };
}

/** Returns a function that reads a certificate and its key. */
export function keyPairReader(cert: TextSource, key: TextSource): () => Promise<KeyPair> {
  const check = lastResult((texts: string) => {
    const [certText = "", keyText = ""] = texts.split("\0");
    return readKeyPair(certText, keyText);
  });
  return async () => {
    const result = check(`${await cert.read()}\0${await key.read()}`);
    if ("pair" in result) return result.pair;
    const { of, fault } = result;
    if (of === "cert") throw contentError(cert, fault);
    throw contentError(key, of === "pair" ? `${fault} of ${cert.name}` : fault);
  };
}

/**
 * Reads a token from a file. As in client-go, the last token stays in use while the file is
 * unusable, and a static token is used until there is one.
 */
export class TokenFile {
  readonly #source: TextSource;
  #last: string;

  /** @param token the static token; "" for none */
  constructor(source: TextSource, token = "") {
    this.#source = source;
    this.#last = token;
  }

  /** @throws SluiceError KUBECONFIG_INVALID if it is unusable and there is no other token */
  async read(): Promise<string> {
    try {
      const text = (await this.#source.read()).trim();
      if (text === "") throw contentError(this.#source, "the file is empty");
      if (!isToken(text)) throw contentError(this.#source, "the file has more than one line");
      this.#last = text;
    } catch (thrown) {
      if (this.#last === "") throw thrown;
    }
    return this.#last;
  }

  /** The server refused the last token. */
  refused(): void {
    this.#last = "";
  }
}

/** Reports whether the text can be part of an HTTP header. */
export function isToken(text: string): boolean {
  return !/[\r\n\0]/.test(text);
}

function contentError({ name, file }: TextSource, fault: string): SluiceError {
  return new SluiceError("KUBECONFIG_INVALID", `${name}: ${fault}`, file);
}

/** Remembers the result for the last text, because most reads find the same one. */
function lastResult<T>(compute: (text: string) => T): (text: string) => T {
  let last: { readonly text: string; readonly result: T } | undefined;
  return (text) => {
    if (last?.text !== text) last = { text, result: compute(text) };
    return last.result;
  };
}
