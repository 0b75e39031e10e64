/**
 * Positions in code: the protocol counts Unicode code points, JavaScript and TypeScript count UTF-16 units. They part
 * at the first character outside of the basic plane, such as an emoji.
 */

/** The UTF-16 offset of the position before which `codePoints` code points stand; the end for more than there are. */
export function toUtf16Offset(text: string, codePoints: number): number {
  let offset = 0;
  for (let left = codePoints; left > 0 && offset < text.length; left--)
    offset += (text.codePointAt(offset) as number) > 0xffff ? 2 : 1;
  return offset;
}

/** How many code points stand before the UTF-16 offset; the inverse of {@link toUtf16Offset}. */
export function toCodePoints(text: string, offset: number): number {
  let count = 0;
  for (let at = 0; at < Math.min(offset, text.length); count++) at += (text.codePointAt(at) as number) > 0xffff ? 2 : 1;
  return count;
}

/** A reply to `complete` from UTF-16 offsets to the protocol's positions, its typed matches among them. */
export function completionInCodePoints(code: string, content: Record<string, unknown>): Record<string, unknown> {
  const converted = (object: Record<string, unknown>, names: readonly string[]) => {
    const copy = { ...object };
    for (const name of names) if (typeof copy[name] === "number") copy[name] = toCodePoints(code, copy[name] as number);
    return copy;
  };
  const reply = converted(content, ["cursor_start", "cursor_end"]);
  const metadata = content.metadata as Record<string, unknown> | undefined;
  const typed = metadata?._jupyter_types_experimental;
  if (Array.isArray(typed))
    reply.metadata = {
      ...metadata,
      _jupyter_types_experimental: typed.map((match) => converted(match, ["start", "end"])),
    };
  return reply;
}
