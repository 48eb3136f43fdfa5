/** Parses the text of a configuration file, and finds duplicate keys. */
import { SluiceError } from "../base/errors.ts";
import { printYamlFault, readYaml } from "../base/yaml.ts";

/** A file as plain values of any type. `decodeDocument` checks them. */
export interface ParsedFile {
  readonly value: unknown;
  /** Paths of keys that occur more than once in their mapping. The last one counts. */
  readonly duplicates: readonly string[];
}

/**
 * Parses YAML or JSON. As upstream, only the first document counts.
 * @throws SluiceError CONFIG_INVALID with line and column
 */
export async function parseConfigText(text: string, file: string): Promise<ParsedFile> {
  const [{ value, fault, duplicates }] = await readYaml(text);
  if (fault === undefined) return { value: value ?? undefined, duplicates };
  const message = `parse ${file}: invalid YAML: ${printYamlFault(fault)}`;
  throw new SluiceError("CONFIG_INVALID", message, file);
}
