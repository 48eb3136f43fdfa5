/** Chooses the encoding of a response. */

/**
 * Reports whether a client prefers gzip to no encoding, by the rule of Prometheus' handler: on a
 * tie, and for `*` alone, it does not.
 */
export function prefersGzip(acceptEncoding: string | undefined): boolean {
  const gzip = weightOf("gzip", acceptEncoding);
  return gzip > 0 && gzip > weightOf("identity", acceptEncoding);
}

/** Returns the largest weight of the encoding or of `*`; -1 if the header has neither. */
function weightOf(encoding: string, acceptEncoding = ""): number {
  let weight = -1;
  for (const part of acceptEncoding.split(",")) {
    const [name = "", ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
    if (name !== encoding && name !== "*") continue;
    const quality = parameters.find((parameter) => parameter.startsWith("q="));
    const value = quality === undefined ? 1 : Number(quality.slice(2));
    weight = Math.max(weight, Number.isNaN(value) ? 0 : value);
  }
  return weight;
}
